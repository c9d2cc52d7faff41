# SPDX-License-Identifier: MIT
"""What the kernel asks for, and how often: every request costs more than its answer."""
import contextlib
import hashlib
import mmap
import os
import subprocess
import threading

from common import Dovecot, Place, fetch_mailbox, listed, main, read, samples, test
from liar import Liar

MESSAGES = 10_000


def requests(mount):
    """{operation: how many so far}"""
    with open(os.path.join(mount, ".mailfs", "metrics"), encoding="utf-8") as file:
        rows = [row.split() for row in file if row.startswith("mailfs_kernel_")]
    return {name[len("mailfs_kernel_"):-len("_total")]: int(value) for name, value in rows}


@contextlib.contextmanager
def counted(mount):
    """A dict that holds, at the end of the block, what was asked meanwhile, but for the counting itself."""
    found = {}
    requests(mount)
    before = requests(mount)
    again = requests(mount)
    yield found
    after = requests(mount)
    found.update((name, after[name] - before[name] - 2 * (again[name] - before[name])) for name in after)
    print("#", found)


def server_bytes(server):
    """The one message of Large, as the server holds it."""
    (message,) = fetch_mailbox(server, "Large").values()
    return message.data


def most(found, **bounds):
    for name, bound in bounds.items():
        assert found[name] <= bound, f"{found[name]} × {name}, {bound} at most: {found}"


def cached(mount, command, **bounds):
    """Asserts that @command, whose answers are in the page cache, asks no more than @bounds. A kernel may take pages
    back at any moment; what it never keeps is asked for every time."""
    for attempt in range(16):
        with counted(mount) as found:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        try:
            return most(found, **bounds)
        except AssertionError:
            if attempt == 15:
                raise


@test("a large listing takes few requests, a second one none")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(MESSAGES, 300))
        server.start()
        with place.mount(server) as mount:
            assert len(listed(os.path.join(mount, "Bulk"))) == MESSAGES
        with place.mount(server) as mount:
            folder = os.path.join(mount, "Bulk")
            with counted(mount) as found:
                subprocess.run(["ls", "-l", folder], check=True, stdout=subprocess.DEVNULL)
            # A READDIR brings 32 KB, an entry takes 152 bytes and its name.
            most(found, readdir=MESSAGES * (152 + 80) // 32768, getxattr=4, lookup=5, getattr=5, opendir=1)
            for command in (["ls", "-l"], ["find"], ["du", "-s"], ["ls", "-U"]):
                cached(mount, [*command, folder], readdir=0, getxattr=4, lookup=5, getattr=5, opendir=1)


@test("a listing that grew while it was read is not read again")
def _():
    with Dovecot() as server:
        server.fill(samples.bulk_mail(MESSAGES // 5, 300))
        server.start()
        # A kernel may take a page back at any moment.
        for _ in range(8):
            with Place() as place, place.mount(server) as mount:
                folder = os.path.join(mount, "Bulk")
                assert len(listed(folder)) == MESSAGES // 5
                with counted(mount) as found:
                    assert len(listed(folder)) == MESSAGES // 5
            if found["readdir"] == 0:
                return
        raise AssertionError(found)


@test("of a very large mailbox, inodes come with the names to who uses them, and only names to who does not")
def _():
    many, mail = 110_000, b"Subject: x\r\n\r\nx\r\n"
    with Liar({"Huge": dict.fromkeys(range(1, many + 1), mail)}) as server, Place() as place:
        with place.mount(server, "names=uid", tls=False) as mount:
            assert len(listed(os.path.join(mount, "Huge"))) == many
        with place.mount(server, "names=uid", tls=False) as mount:
            folder = os.path.join(mount, "Huge")
            with counted(mount) as found, os.scandir(folder) as entries:
                inodes = {entry.name: entry.inode() for entry in entries if entry.is_file(follow_symlinks=False)}
            most(found, lookup=2)
            assert len(inodes) == many, len(inodes)
            # Of two neighbours one may be the first of its page.
            for last, least, bound in ((many // 2, 0, 1), (many, 2, 2)):
                with counted(mount) as found:
                    for name in (f"{last - 1}.eml", f"{last}.eml"):
                        status = os.stat(os.path.join(folder, name))
                        assert (status.st_ino, status.st_size) == (inodes[name], len(mail)), status
                assert least <= found["lookup"] <= bound, found
        with place.mount(server, "names=uid", tls=False) as mount:
            folder = os.path.join(mount, "Huge")
            with counted(mount) as found:
                said = subprocess.run(["ls", "-l", folder], check=True, capture_output=True, text=True).stdout
            assert said.count(f" {len(mail)} ") == many, said.count(f" {len(mail)} ")
            # One of each page, and the rest of the page in which the first is missed.
            most(found, lookup=found["readdir"] + 2 * 32768 // 160)


@test("an open message is in the page cache: nothing is read twice, small ones not even once")
def _():
    with Dovecot() as server, Place() as place:
        writer = samples.Writer(3)
        server.fill(samples.bulk_mail(100, 4000))
        server.fill(samples.large(writer, ("Large",), 1_000_000) for _ in range(3))
        server.start()
        with place.mount(server) as mount:
            direct = b"passthrough" in read(os.path.join(mount, ".mailfs", "status"))
            small = [os.path.join(mount, "Bulk", name) for name in listed(os.path.join(mount, "Bulk"))]
            large = [os.path.join(mount, "Large", name) for name in listed(os.path.join(mount, "Large"))]
            with counted(mount) as found:
                subprocess.run(["cat", *small], check=True, stdout=subprocess.DEVNULL)
            # The warmer may be at a message when it is opened.
            most(found, open=100, read=20, lookup=0)
            cached(mount, ["cat", *small], open=100, read=0, lookup=0)
            with counted(mount) as found:
                subprocess.run(["cat", *large], check=True, stdout=subprocess.DEVNULL)
            assert found["open"] == 3 and (found["read"] == 0) == direct, found
            cached(mount, ["cat", *large], read=0, lookup=0)


@test("a large message that many open, read, map and close at once is right for all of them")
def _():
    with Dovecot() as server, Place() as place:
        server.fill([samples.large(samples.Writer(4), ("Large",), 700_000)])
        server.start()
        sums = []

        def use(path, mapped):
            for _ in range(20):
                with open(path, "rb") as file:
                    if mapped:
                        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
                            data = view[:]
                    else:
                        data = file.read()
                    assert os.fstat(file.fileno()).st_size == len(data)
                sums.append(hashlib.sha256(data).digest())

        with place.mount(server) as mount:
            folder = os.path.join(mount, "Large")
            path = os.path.join(folder, listed(folder)[0])
            threads = [threading.Thread(target=use, args=(path, number % 2 == 1)) for number in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            expected = hashlib.sha256(server_bytes(server)).digest()
        assert len(sums) == 120 and set(sums) == {expected}, len(sums)


main()
