# SPDX-License-Identifier: MIT
"""What changes on the server shows in the mount within dir-time, and a changed UIDVALIDITY is survived."""
import errno
import os
import shutil
import subprocess
import time

from common import (Dovecot, Place, append, compare_folder, expunge, fetch_mailbox, flags_of, folders, listed, main, read,
                    samples, test, uid_of, wait_for)

WITHIN = 6  # seconds, at dir-time=1: the time itself, a round trip, a slow machine

NO_PUSH = ("IDLE", "NOTIFY")
OLD = (*NO_PUSH, "QRESYNC", "CONDSTORE", "ENABLE")


def message(subject, body="Body"):
    return f"Message-ID: <{subject}@news.example>\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode()


def add_tests(kind, without):
    @test(f"{kind}: new mail shows, vanished mail goes, changed flags change")
    def _():
        with Dovecot(without=without) as server, Place() as place:
            server.fill(samples.bulk_mail(30, 1000))
            server.start()
            with place.mount(server, "dir-time=1") as mount:
                folder = os.path.join(mount, "Bulk")
                names = listed(folder)
                assert len(names) == 30
                uid = append(server, "Bulk", message("fresh"))
                assert wait_for(lambda: any("_fresh." in name for name in listed(folder)), WITHIN), "the new one"
                new = next(name for name in listed(folder) if "_fresh." in name)
                assert uid_of(os.path.join(folder, new)) == uid
                assert read(os.path.join(folder, new)) == message("fresh")
                assert set(names) <= set(listed(folder)), "the old ones changed their names"

                gone = names[4]
                expunge(server, "Bulk", uid_of(os.path.join(folder, gone)))
                assert wait_for(lambda: gone not in listed(folder), WITHIN), "the expunged one"
                assert not os.path.exists(os.path.join(folder, gone))

                path = os.path.join(folder, names[7])
                line = server.client()
                line.select("Bulk")
                line.uid("STORE", str(uid_of(path)), "+FLAGS", "(\\Flagged urgent)")
                line.logout()
                assert wait_for(lambda: {"\\Flagged", "urgent"} <= look(folder, path), WITHIN), flags_of(path)
                compare_folder(folder, fetch_mailbox(server, "Bulk"))

    @test(f"{kind}: the same after a remount")
    def _():
        with Dovecot(without=without) as server, Place() as place:
            server.fill(samples.bulk_mail(30, 1000))
            server.start()
            with place.mount(server) as mount:
                compare_folder(os.path.join(mount, "Bulk"), fetch_mailbox(server, "Bulk"))
            for uid in (1, 2, 17, 30):
                expunge(server, "Bulk", uid)
            append(server, "Bulk", message("one"))
            append(server, "Bulk", message("two"), "\\Seen")
            line = server.client()
            line.select("Bulk")
            line.uid("STORE", "5:9", "+FLAGS", "(\\Answered)")
            line.logout()
            with place.mount(server, "dir-time=1") as mount:
                folder = os.path.join(mount, "Bulk")
                assert wait_for(lambda: len(listed(folder)) == 28, WITHIN), len(listed(folder))
                assert wait_for(lambda: same(folder, fetch_mailbox(server, "Bulk")), WITHIN)
                compare_folder(folder, fetch_mailbox(server, "Bulk"))

    @test(f"{kind}: a changed UIDVALIDITY, while mounted and between mounts: only the new messages, with their own bytes")
    def _():
        with Dovecot(without=without) as server, Place() as place:
            server.fill(samples.bulk_mail(20, 1000))
            server.start()
            with place.mount(server, "dir-time=1") as mount:
                folder = os.path.join(mount, "Bulk")
                old = {name: read(os.path.join(folder, name)) for name in listed(folder)}
                assert len(old) == 20
                replace_mailbox(server, "first")
                server.start()
                expected = fetch_mailbox(server, "Bulk")
                assert wait_for(lambda: len(listed(folder)) == 8, WITHIN), len(listed(folder))
                assert compare_folder(folder, expected) == 8
                # The old UIDs are others' now.
                for uid in range(1, 21):
                    alias = os.path.join(folder, f"{uid}.eml")
                    if uid in expected:
                        assert read(alias) == expected[uid].data, uid
                    else:
                        assert not os.path.exists(alias), uid
            replace_mailbox(server, "second")
            server.start()
            with place.mount(server, "dir-time=1") as mount:
                folder = os.path.join(mount, "Bulk")
                expected = fetch_mailbox(server, "Bulk")
                assert wait_for(lambda: any("_second-" in name for name in listed(folder)), WITHIN)
                assert compare_folder(folder, expected) == 8


def look(folder, path):
    listed(folder)  # what asks the server when dir-time has passed
    return flags_of(path)


def same(folder, expected):
    listed(folder)
    return all(flags_of(os.path.join(folder, name)) == expected[uid_of(os.path.join(folder, name))].flags
               for name in listed(folder))


def replace_mailbox(server, word):
    """As after a move to another server: the mailbox is another one, with messages of its own under old numbers."""
    server.stop()
    shutil.rmtree(os.path.join(server.mail, "Bulk"))
    server.fill(samples.Message(("Bulk",), message(f"{word}-{number}", word * 50), "", (), samples.START + number)
                for number in range(8))


for _kind, _without in (("QRESYNC and IDLE", ()), ("QRESYNC, no IDLE", NO_PUSH), ("CONDSTORE only", (*NO_PUSH, "QRESYNC")),
                        ("neither", OLD)):
    add_tests(_kind, _without)


@test("a mailbox deleted and made anew while it is in use shows its new messages")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(20, 1000))
        server.start()
        with place.mount(server, "dir-time=1") as mount:
            folder = os.path.join(mount, "Bulk")
            for name in listed(folder):
                read(os.path.join(folder, name))
            line = server.client()
            line.delete("Bulk")
            line.create("Bulk")
            for number in range(8):
                line.append("Bulk", "", None, message(f"anew-{number}"))
            line.logout()
            assert wait_for(lambda: len(listed(folder)) == 8, WITHIN), len(listed(folder))
            compare_folder(folder, fetch_mailbox(server, "Bulk"))


@test("new mail in INBOX is pushed: it shows long before dir-time is over")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(10, 1000, mailbox=("INBOX",)))
        server.start()
        with place.mount(server, "dir-time=600") as mount:
            folder = os.path.join(mount, "INBOX")
            assert len(listed(folder)) == 10
            time.sleep(1)  # until it idles
            append(server, "INBOX", message("pushed"))
            started = time.monotonic()
            assert wait_for(lambda: any("_pushed." in name for name in listed(folder)), 10)
            print(f"# {time.monotonic() - started:.2f} s after its delivery")


@test("new and deleted mailboxes show within dir-time")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(3, 1000))
        server.start()
        with place.mount(server, "dir-time=1") as mount:
            assert folders(mount) == ["Bulk", "INBOX"]
            line = server.client()
            line.create("Fresh/Inner")
            line.append("Fresh/Inner", "", None, message("inside"))
            assert wait_for(lambda: "Fresh" in folders(mount), WITHIN)
            assert wait_for(lambda: len(listed(os.path.join(mount, "Fresh", "Inner"))) == 1, WITHIN)
            line.delete("Bulk")
            line.logout()
            assert wait_for(lambda: "Bulk" not in folders(mount), WITHIN)
            assert not os.path.exists(os.path.join(mount, "Bulk"))


@test("an open file is readable to its end, whatever happens to its message")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(5, 200_000))
        server.start()
        with place.mount(server, "dir-time=1") as mount:
            folder = os.path.join(mount, "Bulk")
            path = os.path.join(folder, listed(folder)[2])
            expected = fetch_mailbox(server, "Bulk")[uid_of(path)].data
            with open(path, "rb", buffering=0) as file:
                start = file.read(1000)
                replace_mailbox(server, "other")
                server.start()
                assert wait_for(lambda: len(listed(folder)) == 8, WITHIN)
                try:
                    rest = file.readall()
                except OSError as error:
                    assert error.errno == errno.ESTALE, error
                else:
                    assert start + rest == expected


@test("hundreds of changes while a program walks the tree: every file it sees is whole and right")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(200, 2000))
        server.start()
        with place.mount(server, "dir-time=1") as mount:
            folder = os.path.join(mount, "Bulk")
            line = server.client()
            line.select("Bulk")
            for step in range(10):
                walker = subprocess.Popen(["rsync", "-a", "--delete", folder + "/", place.path("copy") + "/"],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                for number in range(10):
                    line.append("Bulk", "", None, message(f"step-{step}-{number}"))
                    line.uid("STORE", str(step * 10 + number + 1), "+FLAGS.SILENT", "(\\Deleted)")
                line.expunge()
                said = walker.communicate(timeout=60)[1]
                assert walker.returncode in (0, 23, 24), (walker.returncode, said)  # 23, 24: files vanished meanwhile
            line.logout()
            expected = fetch_mailbox(server, "Bulk")
            assert wait_for(lambda: len(listed(folder)) == len(expected), WITHIN)
            time.sleep(1.2)
            compare_folder(folder, expected)
            subprocess.run(["rsync", "-a", "--delete", folder + "/", place.path("copy") + "/"], check=True)
            copied = sorted(read(place.path("copy", name)) for name in os.listdir(place.path("copy")))
            assert copied == sorted(m.data for m in expected.values())


main()
