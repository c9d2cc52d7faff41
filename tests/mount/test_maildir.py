# SPDX-License-Identifier: MIT
""".maildir: what programs that know nothing but Maildirs see of a mailbox."""
import mailbox
import os
import shutil
import stat
import subprocess
import time

from common import (Dovecot, Place, Skip, append, expunge, fetch_mailbox, flags_of, folders, list_mailboxes, listed, main,
                    mutf7, read, samples, test, uid_of, wait_for)
from liar import Liar

WITHIN = 6  # seconds, at dir-time=1
LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}


def letters(flags):
    return "".join(sorted(LETTERS[flag] for flag in flags if flag in LETTERS))


def message(subject):
    return f"Message-ID: <{subject}@maildir.example>\r\nSubject: {subject}\r\n\r\nBody\r\n".encode()


def path_of_mailbox(raw):
    """Where the tree shows a mailbox of the sample mail."""
    spelt = {mutf7(part): part for sample in samples.sample_mail() for part in sample.mailbox}
    return os.path.join(*(spelt[part].replace("%", "%25").replace(".hidden", "%2Ehidden") for part in raw.split("/")))


def fresh_mail(count):
    return [samples.Message(("Bulk",), message(f"message-{number}"), "", (), samples.START + number)
            for number in range(1, count + 1)]


def store(server, box, uids, change, flags):
    line = server.client()
    line.select(box)
    kind, answer = line.uid("STORE", uids, change, flags)
    assert kind == "OK", answer
    line.logout()


def holding(top, uid):
    """[(part, name)] of a message in a Maildir."""
    return [(part, name) for part in ("new", "cur") for name in listed(os.path.join(top, part))
            if uid_of(os.path.join(top, part, name)) == uid]


def times(top):
    return tuple(os.stat(os.path.join(top, part)).st_mtime_ns for part in ("cur", "new"))


@test("Python's Maildir reads the messages, dates and flags that the server tells, in every mailbox")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        store(server, "INBOX", "1", "FLAGS", "(\\Flagged \\Answered \\Seen \\Deleted \\Draft keyword)")
        store(server, "INBOX", "2", "FLAGS", "(\\Flagged)")
        store(server, "INBOX", "3", "FLAGS", "()")
        store(server, "INBOX", "4", "FLAGS", "(keyword)")
        with place.mount(server) as mount:
            counted, seen = 0, set()
            for box in list_mailboxes(server):
                expected = fetch_mailbox(server, box)
                top = os.path.join(mount, ".maildir", path_of_mailbox(box))
                maildir = mailbox.Maildir(top, create=False)
                keys = maildir.keys()
                assert len(keys) == len(expected), (box, len(keys), len(expected))
                for key in keys:
                    want = expected.pop(uid_of(os.path.join(top, maildir._lookup(key))))
                    entry = maildir.get_message(key)
                    assert maildir.get_bytes(key) == want.data, (box, key)
                    assert entry.get_flags() == letters(want.flags), (box, key, want.flags)
                    assert entry.get_subdir() == ("cur" if letters(want.flags) else "new"), (box, key, want.flags)
                    assert int(entry.get_date()) == want.date, (box, key)
                    counted += 1
                    seen.add(entry.get_flags())
                assert not expected
            assert counted == sum(1 for _ in samples.sample_mail())
            assert {"", "S", "F", "DFRST"} <= seen, seen
            assert [part for part, _ in holding(os.path.join(mount, ".maildir", "INBOX"), 4)] == ["new"]


@test("the files are the messages: the same inode, bytes and attributes, and the two names do not disturb each other")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(fresh_mail(20))
        server.start()
        store(server, "Bulk", "1:10", "+FLAGS", "(\\Seen)")
        with place.mount(server) as mount:
            plain, top = os.path.join(mount, "Bulk"), os.path.join(mount, ".maildir", "Bulk")
            by_uid = {uid_of(os.path.join(plain, name)): os.path.join(plain, name) for name in listed(plain)}
            count = 0
            for part, which in (("cur", range(1, 11)), ("new", range(11, 21))):
                names = listed(os.path.join(top, part))
                assert [uid_of(os.path.join(top, part, name)) for name in names] == list(which), "UID order"
                for name, uid in zip(names, which):
                    path, other = os.path.join(top, part, name), by_uid[uid]
                    assert name == os.path.basename(other)[:-4] + (":2,S" if part == "cur" else ""), name
                    assert os.path.samefile(path, other)
                    first, second = os.stat(path), os.stat(other)
                    assert first == second and first.st_nlink == 1, (first, second)
                    with open(path, "rb") as one, open(other, "rb") as two:
                        assert one.read() == two.read() == read(path)
                    assert os.path.samestat(os.stat(path), os.stat(other))
                    assert os.listxattr(path) == os.listxattr(other)
                    count += 1
            assert count == 20
            assert os.listdir(os.path.join(top, "tmp")) == []


@test("flags changed by another client: other names, other times, and the name that was listed still opens")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(fresh_mail(10))
        server.start()
        with place.mount(server, "dir-time=1") as mount:
            top = os.path.join(mount, ".maildir", "Bulk")
            maildir = mailbox.Maildir(top, create=False)
            key = maildir.keys()[4]
            (part, name), = holding(top, 5)
            assert part == "new" and name == key
            data, before = read(os.path.join(top, part, name)), times(top)

            store(server, "Bulk", "5", "+FLAGS", "(\\Seen \\Flagged)")
            assert wait_for(lambda: holding(top, 5) == [("cur", key + ":2,FS")], WITHIN), holding(top, 5)
            after = times(top)
            assert all(new > old for new, old in zip(after, before)), (before, after)
            assert wait_for(lambda: maildir.keys() and maildir.get_message(key).get_flags() == "FS", WITHIN)
            assert len(maildir.keys()) == 10
            time.sleep(1.5)  # the kernel forgets the old name
            assert read(os.path.join(top, "new", key)) == data, "the name it had"
            assert key not in listed(os.path.join(top, "new"))

            store(server, "Bulk", "5", "FLAGS", "(keyword)")
            assert wait_for(lambda: holding(top, 5) == [("new", key)], WITHIN), holding(top, 5)
            assert all(new > old for new, old in zip(times(top), after))
            assert read(os.path.join(top, "cur", key + ":2,FS")) == data
            for never in (":2,F", ":2,S", ":2,FST", ":2,", ":2,SF"):
                assert not os.path.exists(os.path.join(top, "cur", key + never)), never


@test("a program that only looks at the times of cur and new learns of mail that came, changed and went")
def _():
    with Dovecot(without=("IDLE", "NOTIFY")) as server, Place() as place:
        server.fill(fresh_mail(10))
        server.start()
        with place.mount(server, "dir-time=1") as mount:
            top = os.path.join(mount, ".maildir", "Bulk")
            assert len(listed(os.path.join(top, "new"))) == 10
            time.sleep(1.5)
            quiet = times(top)
            time.sleep(2.5)
            assert times(top) == quiet, "nothing has happened"

            for what, act in (("came", lambda: append(server, "Bulk", message("fresh"))),
                              ("changed", lambda: store(server, "Bulk", "3", "+FLAGS", "(\\Seen)")),
                              ("went", lambda: expunge(server, "Bulk", 7))):
                before = times(top)
                act()
                assert wait_for(lambda: all(new > old for new, old in zip(times(top), before)), WITHIN), what
            assert wait_for(lambda: len(listed(os.path.join(top, "new"))) == 9, WITHIN), listed(os.path.join(top, "new"))
            assert any("_fresh." in name for name in listed(os.path.join(top, "new")))
            assert [uid_of(os.path.join(top, "cur", name)) for name in listed(os.path.join(top, "cur"))] == [3]
            assert flags_of(os.path.join(top, "cur", listed(os.path.join(top, "cur"))[0])) == {"\\Seen"}


@test("sub-mailboxes lie beside cur, new and tmp; those called cur, new or tmp are escaped; one that takes no messages has none")
def _():
    spelt = {"INBOX": "INBOX", "INBOX/cur": "INBOX/%63ur", "INBOX/new": "INBOX/%6Eew", "INBOX/tmp": "INBOX/%74mp", "INBOX/Cur": "INBOX/Cur",
             "INBOX/%63ur": "INBOX/%2563ur", "INBOX/new/cur": "INBOX/%6Eew/%63ur", "new": "new", "cur/new": "cur/%6Eew",
             "Archive/2024": "Archive/2024"}
    with Liar({raw: {1: message(f"in {raw}")} for raw in spelt}) as liar, Place() as place, place.mount(liar, tls=False) as mount:
        top = os.path.join(mount, ".maildir")
        assert ".maildir" not in os.listdir(mount)
        assert folders(top) == folders(mount) == ["Archive", "INBOX", "cur", "new"]
        found = {}
        for path, inside, files in os.walk(top):
            for name in files:
                found[os.path.relpath(path, top)] = read(os.path.join(path, name))
            if "tmp" in inside:
                assert {"cur", "new"} <= set(inside), path
        assert found == {f"{path}/new": message(f"in {raw}") for raw, path in spelt.items()}, found
        for path in ("", "Archive", "cur"):
            for name in ("cur", "new", "tmp"):
                assert (name in os.listdir(os.path.join(top, path))) == (path == "" and name != "tmp"), (path, name)
        assert not os.path.exists(os.path.join(top, "Archive", "new"))


@test("names that no message has are not found, and nothing can be written")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(fresh_mail(4))
        server.start()
        store(server, "Bulk", "2", "FLAGS", "(\\Seen \\Answered)")
        with place.mount(server, "ro") as mount:
            top = os.path.join(mount, ".maildir", "Bulk")
            (part, name), = holding(top, 2)
            assert part == "cur" and name.endswith(":2,RS"), name
            base, fresh = name[:-5], holding(top, 3)[0][1]
            for wrong in (f"cur/{base}", f"new/{base}", f"cur/{base}:2,SR", f"cur/{base}:2,RSS", f"cur/{base}:2,RS,", f"cur/{base}:1,RS",
                          f"cur/{base}.eml", f"cur/{base}.eml:2,RS", "cur/2:2,RS", "new/3", "new/3.eml", f"cur/{fresh}:2,", f"new/{fresh}:2,",
                          f"cur/{fresh}", f"tmp/{fresh}", "cur/:2,", "cur/:2,S", "new/:", "cur/" + "x" * 255, "new/" + "x" * 255, "cur/a:2,S:2,S",
                          "cur/\udcff\udcfe:2,S", "new/.notmuch"):
                assert not os.path.lexists(os.path.join(top, wrong)), wrong
            status = os.stat(os.path.join(top, "cur"))
            assert stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o500, oct(status.st_mode)
            for act in (lambda: os.rename(os.path.join(top, "new", fresh), os.path.join(top, "cur", fresh + ":2,S")),
                        lambda: os.unlink(os.path.join(top, "new", fresh)), lambda: os.mkdir(os.path.join(top, "x")),
                        lambda: open(os.path.join(top, "tmp", "x"), "wb")):
                try:
                    act()
                except OSError as error:
                    assert error.errno == 30, error  # EROFS
                else:
                    raise AssertionError("a read-only mount was written to")


@test("mutt shows new, old, flagged and answered mail as it is")
def _():
    if shutil.which("mutt") is None:
        raise Skip("mutt is not installed")
    with Dovecot() as server, Place() as place:
        server.fill(fresh_mail(5))
        server.start()
        store(server, "Bulk", "2", "FLAGS", "(\\Seen)")
        store(server, "Bulk", "3", "FLAGS", "(\\Seen \\Answered)")
        store(server, "Bulk", "4", "FLAGS", "(\\Flagged)")
        with place.mount(server) as mount:
            top = os.path.join(mount, ".maildir", "Bulk")
            done = subprocess.run(
                ["script", "-qec", f"mutt -n -F /dev/null -R -e 'set folder=. index_format=\"<%Z|%C>\" sort=mailbox-order wait_key=no' "
                 f"-e 'push <exit>' -f '{top}'", "/dev/null"], env=place.environment(TERM="xterm", COLUMNS="80", LINES="24"),
                stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
            assert done.returncode == 0, done
            for shown in (b"<N  |1>", b"<N  |2>", b"<   |3>", b"<r  |4>", b"<O !|5>"):
                assert shown in done.stdout, (shown, done.stdout)


main()
