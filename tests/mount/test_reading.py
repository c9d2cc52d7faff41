# SPDX-License-Identifier: MIT
"""Reading: every tool gets the bytes the server holds, and reading leaves no trace there."""
import hashlib
import mmap
import os
import subprocess
import threading

from common import (Dovecot, Place, append, drop_pages, fetch_mailbox, folders, list_mailboxes, listed, main, mutf7, read, rsync,
                    samples, test, uid_of)


def sums(directory):
    """{relative path: SHA-256} of all files below."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, directory)] = hashlib.sha256(read(path)).hexdigest()
    return found


def sample_server():
    server = Dovecot()
    server.fill(samples.sample_mail())
    return server


@test("rsync -a copies all, and has nothing to do the second time, the third after a remount")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        target = place.path("copy")
        with place.mount(server) as mount:
            assert len(rsync(mount, target)) > 340
            assert rsync(mount, target) == []
            assert sums(target) == sums(mount)
            # By now even the directories' times are known, and stay.
            again = subprocess.run(["rsync", "-ai", mount + "/", target], check=True, capture_output=True, text=True)
            assert again.stdout == "", again.stdout
        with place.mount(server) as mount:
            assert rsync(mount, target) == []
        place.forget()
        with place.mount(server) as mount:
            assert rsync(mount, target) == [], "after the cache was lost"


@test("tar, cp -a and cp -r from a cold cache hold every byte of every message")
def _():
    with sample_server() as server:
        server.start()
        expected = sorted(hashlib.sha256(m.data).hexdigest() for box in list_mailboxes(server)
                          for m in fetch_mailbox(server, box).values())
        for tool in ("tar", "cp -a", "cp -r"):
            with Place() as place, place.mount(server) as mount:
                target = place.path("copy")
                os.mkdir(target)
                if tool == "tar":
                    pack = place.path("all.tar")
                    subprocess.run(["tar", "-C", mount, "-cf", pack, "."], check=True)
                    subprocess.run(["tar", "-C", target, "-xf", pack], check=True)
                else:
                    subprocess.run([*tool.split(), mount + "/.", target], check=True)
                assert sorted(sums(target).values()) == expected, tool


@test("python: read, pread anywhere, mmap, seek from the end")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        expected = fetch_mailbox(server, "Archive/2025")
        with place.mount(server) as mount:
            folder = os.path.join(mount, "Archive", "2025")
            largest = 0
            for name in listed(folder):
                path = os.path.join(folder, name)
                data = expected[uid_of(path)].data
                largest = max(largest, len(data))
                with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
                    assert view[:] == data
                    assert os.pread(file.fileno(), 100, len(data) // 2) == data[len(data) // 2:][:100]
                    assert os.pread(file.fileno(), 100, len(data)) == b""
                    assert os.pread(file.fileno(), 100, len(data) + 5) == b""
                    file.seek(-7, os.SEEK_END)
                    assert file.read() == data[-7:]
            assert largest > 4_900_000


@test("grep -r finds what is there; head of a large message works")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        append(server, "INBOX", b"Subject: needle\r\n\r\nA needle-7f3a9 in the hay.\r\n")
        with place.mount(server) as mount:
            found = subprocess.run(["grep", "-rl", "needle-7f3a9", mount], capture_output=True, text=True, check=True)
            assert len(found.stdout.splitlines()) == 1, found.stdout
            folder = os.path.join(mount, "Archive", "2025")
            large = max(listed(folder), key=lambda name: os.stat(os.path.join(folder, name)).st_size)
            head = subprocess.run(["head", "-c", "100", os.path.join(folder, large)], capture_output=True, check=True)
            assert head.stdout == fetch_mailbox(server, "Archive/2025")[uid_of(os.path.join(folder, large))].data[:100]


@test("reading, listing and searching set no flag, \\Seen least of all")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        boxes = list_mailboxes(server)
        before = {box: {uid: m.flags for uid, m in fetch_mailbox(server, box).items()} for box in boxes}
        assert any("\\Seen" not in flags for box in before.values() for flags in box.values())
        with place.mount(server) as mount:
            subprocess.run(["grep", "-rc", "the", mount], stdout=subprocess.DEVNULL, check=False)
            subprocess.run(["tar", "-C", mount, "-cf", "/dev/null", "."], check=True)
            sums(mount)
        after = {box: {uid: m.flags for uid, m in fetch_mailbox(server, box).items()} for box in boxes}
        assert after == before


@test("many readers at once, of the same and of different files, all get the right bytes")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        expected = fetch_mailbox(server, "INBOX")
        with place.mount(server) as mount:
            folder = os.path.join(mount, "INBOX")
            paths = [os.path.join(folder, name) for name in listed(folder)]
            uids = {path: uid_of(path) for path in paths}
            wrong = []

            def reader(step):
                for i in range(len(paths)):
                    path = paths[(i * step + step) % len(paths)]
                    if read(path) != expected[uids[path]].data:
                        wrong.append(path)

            threads = [threading.Thread(target=reader, args=(step,)) for step in (1, 1, 3, 5, 7, 11, 13, 17)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert wrong == []


@test("no body travels twice, be it read by ten at once or again after a remount")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.bulk_mail(60, 20_000))
        server.start()
        with place.mount(server) as mount:
            for name in listed(os.path.join(mount, "Bulk")):
                cats = [subprocess.Popen(["cat", os.path.join(mount, "Bulk", name)], stdout=subprocess.DEVNULL)
                        for _ in range(3)]
                assert [cat.wait() for cat in cats] == [0, 0, 0]
        with place.mount(server) as mount:
            for name in listed(os.path.join(mount, "Bulk")):
                drop_pages(os.path.join(mount, "Bulk", name))
                read(os.path.join(mount, "Bulk", name))
        sent = 0
        for name in os.listdir(server.path("rawlog")):
            if name.endswith(".out"):
                sent += read(server.path("rawlog", name)).count(b"BODY[] {")
        assert sent == 60, f"{sent} bodies were sent for 60 messages"


@test("cache-size holds: the bodies on disk stay below it, and everything is still readable")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        with place.mount(server, "cache-size=2M") as mount:
            for _ in range(2):
                for box in ("INBOX", "Archive/2025", "Lists/linux-mail"):
                    expected = fetch_mailbox(server, box)
                    for name in listed(os.path.join(mount, box)):
                        path = os.path.join(mount, box, name)
                        drop_pages(path)
                        assert read(path) == expected[uid_of(path)].data
        kept = sum(os.stat(path).st_blocks * 512 for path in place.body_files())
        assert 0 < kept <= 2 * 1024 * 1024, kept


@test("a message of 40 MB, and 300 small ones beside it, through every separator and charset of folder names")
def _():
    with Dovecot() as server, Place() as place:
        big = next(iter(samples.bulk_mail(1, 1000))).data + b"0123456789abcdef" * 64 * 1024 * 40 + b"\r\n"
        server.fill([samples.Message(("日本語", "大きい"), big, "", (), 1_700_000_000)])
        server.fill(samples.bulk_mail(300, 2000, mailbox=("日本語", "小さい")))
        server.start()
        with place.mount(server) as mount:
            assert folders(os.path.join(mount, "日本語")) == sorted(["大きい", "小さい"])
            folder = os.path.join(mount, "日本語", "大きい")
            path = os.path.join(folder, listed(folder)[0])
            expected = fetch_mailbox(server, mutf7("日本語") + "/" + mutf7("大きい"))[1].data
            assert read(path) == expected and os.stat(path).st_size == len(expected) > 40_000_000
            for name in listed(os.path.join(mount, "日本語", "小さい")):
                read(os.path.join(mount, "日本語", "小さい", name))


main()
