#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POP3 accounts, on Dovecot's pop3: the same tree, news, deleting."""
import errno
import os
import re
import shutil
import signal

from common import (Exim, Place, compare_folder, fails, fetch_mailbox, listed, main, processes, read, rsync, run, test,
                    uid_of, wait_for)
from pop import deliver, file_of, filled, letter, log_of, look_again, on_server, phone_in, pop, shown


@test("the tree is the one that IMAP shows, over STLS and over TLS")
def same_tree():
    with filled(40) as server, Place() as place:
        with place.mount(server, name="imap") as mount:
            names = listed(mount + "/INBOX")
        for tls in (False, True):
            place.forget()
            with pop(place, server, tls=tls) as mount:
                assert sorted(os.listdir(mount)) == ["INBOX", "Outbox"] or os.listdir(mount) == ["INBOX"], os.listdir(mount)
                assert listed(mount + "/INBOX") == names
                assert compare_folder(mount + "/INBOX", fetch_mailbox(server, "INBOX"), exact=False) == 40
                assert os.getxattr(file_of(mount + "/INBOX", 7), "user.mail.subject") == b"Letter 7"
                assert "Letter 7" in read(f"{mount}/.text/INBOX/{os.path.basename(file_of(mount + '/INBOX', 7))[:-4]}.txt").decode()
                assert os.listdir(mount + "/.special") == []


@test("the doctor finds a POP3 account well")
def doctor():
    with filled(3) as server, Place() as place:
        done = place.mailfs("check", server.pop_url(), "-o", f"tls-ca={server.ca}", password=server.password)
        assert done.returncode == 0, done.stdout
        for words in ("lasting names (UIDL)", "pipelining (PIPELINING)", "alice, by ", "the maildrop"):
            assert words in done.stdout, (words, done.stdout)
        done = place.mailfs("check", server.pop_url(), "-o", f"tls-ca={server.ca}", password="wrong")
        assert done.returncode == 77, done.stdout


@test("a copy has nothing to do the second time, nor after a remount, nor after the cache was lost")
def idle_copies():
    with filled(200) as server, Place() as place:
        copy = place.path("copy")
        for how in ("first", "again", "without a cache"):
            with pop(place, server) as mount:
                changed = rsync(mount + "/INBOX", copy)
                assert (len(changed) >= 200) == (how == "first"), (how, changed[:3])
                assert rsync(mount + "/INBOX", copy) == []
                numbers = {name: uid_of(f"{mount}/INBOX/{name}") for name in listed(mount + "/INBOX")}
                assert sorted(numbers.values()) == list(range(1, 201))
                run("cp", "-a", mount + "/INBOX", place.path("copy of " + how))
                run("diff", "-r", copy, place.path("copy of " + how))
            if how == "again":
                place.forget()


@test("new mail shows, and what the phone deletes goes")
def news():
    with filled(5) as server, Place() as place, pop(place, server) as mount:
        inbox = mount + "/INBOX"
        assert len(listed(inbox)) == 5
        deliver(server, 77)
        look_again(place, mount, lambda: "Letter 77" in shown(inbox))
        phone = phone_in(server)
        phone.dele(2)
        phone.quit()
        look_again(place, mount, lambda: "Letter 1" not in shown(inbox))
        assert shown(inbox) == on_server(server)


@test("what POP3 cannot do is refused, and the log says why")
def refusals():
    with filled(3) as server, Place() as place, pop(place, server) as mount:
        inbox, path = mount + "/INBOX", file_of(mount + "/INBOX", 1)
        fails(errno.EOPNOTSUPP, lambda: os.mkdir(mount + "/Archive"))
        fails(errno.EOPNOTSUPP, lambda: os.mkdir(inbox + "/Archive"))
        fails(errno.EOPNOTSUPP, lambda: os.setxattr(path, "user.mailfs.flags", b"\\Seen"))
        fails(errno.EOPNOTSUPP, lambda: shutil.copy(path, inbox + "/copy.eml"))
        fails(errno.EOPNOTSUPP, lambda: os.listdir(mount + "/.search/INBOX/from:bob"))
        fails(errno.EPERM, lambda: os.rename(inbox, mount + "/In"))
        fails(errno.EPERM, lambda: os.rmdir(inbox))
        log = log_of(mount)
        for words in ("keeps no other mailboxes", "keeps no flags", "nothing can be put into a POP3 maildrop", "cannot search"):
            assert words in log, (words, log)
        os.rename(path, inbox + "/mine.eml")
        assert read(inbox + "/mine.eml") == letter(1).data
        assert shown_names(inbox)[0].startswith("2026") and "mine.eml" in shown_names(inbox)


def shown_names(inbox):
    return sorted(listed(inbox))


@test("rm deletes on the server, at once here and a moment later there")
def removal():
    with filled(30) as server, Place() as place:
        with pop(place, server) as mount:
            inbox = mount + "/INBOX"
            gone = [file_of(inbox, number) for number in range(0, 30, 2)]
            for path in gone:
                os.unlink(path)
            assert not any(os.path.exists(path) for path in gone)
            run("sync", inbox)
            assert on_server(server) == shown(inbox)
            assert len(shown(inbox)) == 15
            left = file_of(inbox, 1)
            os.unlink(left)
        # umount has waited for the last one.
        assert "Letter 1" not in on_server(server)


@test("what was removed is deleted by the next mount when mailfs was killed before it could")
def killed_after_removal():
    with filled(3) as server, Place() as place:
        with pop(place, server, unmount=False) as mount:
            inbox = mount + "/INBOX"
            assert len(listed(inbox)) == 3
            server.pause()
            os.unlink(file_of(inbox, 2))
            assert shown(inbox) == ["Letter 0", "Letter 1"]
            os.kill(processes(mount)[0], signal.SIGKILL)
            wait_for(lambda: not processes(mount))
            server.resume()
        assert "Letter 2" in on_server(server)
        with pop(place, server) as mount:
            assert shown(mount + "/INBOX") == ["Letter 0", "Letter 1"]
        assert on_server(server) == ["Letter 0", "Letter 1"]


@test("what is copied or moved into Outbox is sent, what was moved leaves INBOX, and no copy is filed")
def outbox():
    with filled(4) as server, Exim(server) as relay, Place() as place:
        relay.start()
        with pop(place, server, f"smtp={relay.url()}", "hold=0") as mount:
            inbox = mount + "/INBOX"
            for number, how in ((1, "cp"), (2, "mv")):
                run(how, file_of(inbox, number), mount + f"/Outbox/{number}.eml")
            sent = wait_for(lambda: relay.delivered("bob")[1:] and relay.delivered("bob"))
            assert sorted(re.search(rb"Subject: (.*)\n", data).group(1) for data in sent) == [b"Letter 1", b"Letter 2"]
            assert wait_for(lambda: shown(inbox) == ["Letter 0", "Letter 1", "Letter 3"] == on_server(server), 20)
            assert listed(mount + "/Outbox") == []
            assert "copies" not in log_of(mount), "a maildrop has no place for them: nothing to complain of"


@test("rm -rf stops at the guard")
def guard():
    with filled(6) as server, Place() as place, pop(place, server, "delete-limit=3") as mount:
        inbox = mount + "/INBOX"
        paths = [os.path.join(inbox, name) for name in listed(inbox)]
        for path in paths[:3]:
            os.unlink(path)
        fails(errno.EPERM, lambda: os.unlink(paths[3]))
        run("sync", inbox)
        assert len(on_server(server)) == 3


if __name__ == "__main__":
    main()
