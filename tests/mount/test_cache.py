# SPDX-License-Identifier: MIT
"""A damaged cache costs time and nothing else: never a wrong byte, never a byte of another message."""
import os
import random
import signal
import subprocess
import tempfile
import time

from common import (Dovecot, Place, drop_pages, fetch_mailbox, is_mounted, listed, main, processes, read, samples, test,
                    uid_of, wait_for)


def sample_server():
    server = Dovecot()
    server.fill(samples.bulk_mail(60, 4000))
    server.fill(samples.bulk_mail(20, 300_000, seed=3, mailbox=("Large",)))
    return server.start()


def check_all(server, mount):
    for box in ("Bulk", "Large"):
        expected = fetch_mailbox(server, box)
        folder = os.path.join(mount, box)
        names = listed(folder)
        assert len(names) == len(expected), (box, len(names))
        for name in names:
            path = os.path.join(folder, name)
            drop_pages(path)
            data = read(path)
            assert data == expected[uid_of(path)].data, f"{box}/{name}: wrong bytes ({len(data)})"
            assert os.stat(path).st_size == len(data)


def flip(path, where):
    with open(path, "r+b") as file:
        file.seek(where)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x20]))


def flip_each(place, rng):
    for path, at, size in place.bodies():
        flip(path, at + rng.randrange(size))


def damages(rng):
    """name -> what is done to the list of body files."""
    return {
        "each cut short": lambda paths: [os.truncate(path, os.path.getsize(path) * 2 // 3) for path in paths],
        "each emptied": lambda paths: [os.truncate(path, 0) for path in paths],
        "each grown": lambda paths: [open(path, "ab").write(b"more") for path in paths],
        "each zeroed": lambda paths: [open(path, "r+b").write(b"\0" * os.path.getsize(path)) for path in paths],
        "all deleted": lambda paths: [os.unlink(path) for path in paths],
        "swapped with each other": swap,
        "a directory in a body's place": lambda paths: [(os.unlink(path), os.mkdir(path)) for path in paths[:5]],
    }


def swap(paths):
    for one, two in zip(paths[::2], paths[1::2]):
        os.rename(one, one + ".x")
        os.rename(two, one)
        os.rename(one + ".x", two)


def add_tests(name):
    @test(f"bodies, while unmounted: {name}")
    def _():
        with sample_server() as server, Place() as place:
            with place.mount(server) as mount:
                check_all(server, mount)
            assert len(place.bodies()) == 80, len(place.bodies())
            damages(random.Random(1))[name](place.body_files())
            with place.mount(server) as mount:
                check_all(server, mount)
                check_all(server, mount)

    if "directory" in name:
        return

    @test(f"bodies, while mounted: {name}")
    def _():
        with sample_server() as server, Place() as place:
            with place.mount(server) as mount:
                check_all(server, mount)
                damages(random.Random(2))[name](place.body_files())
                check_all(server, mount)


for _name in damages(random.Random(0)):
    add_tests(_name)


@test("bodies, while unmounted: a byte flipped in each")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            check_all(server, mount)
        flip_each(place, random.Random(1))
        with place.mount(server) as mount:
            check_all(server, mount)
            assert b"damaged" in read(os.path.join(mount, ".mailfs", "status"))
            check_all(server, mount)


@test("bodies, while mounted: a byte flipped in each")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            check_all(server, mount)
            assert wait_for(lambda: len(place.bodies()) == 80)
            flip_each(place, random.Random(2))
            check_all(server, mount)


@test("the books of small bodies, while unmounted: a byte flipped, cut short, deleted, a directory in their place")
def _():
    with sample_server() as server, Place() as place:
        for damage in (lambda path: flip(path, random.Random(3).randrange(os.path.getsize(path))),
                       lambda path: os.truncate(path, os.path.getsize(path) // 2 + 5), os.unlink,
                       lambda path: (os.unlink(path), os.mkdir(path))):
            with place.mount(server) as mount:
                check_all(server, mount)
            damage(next(path for folder in (os.path.dirname(path) for path in place.body_files())
                        if os.path.exists(path := os.path.join(folder, "journal"))))
        with place.mount(server) as mount:
            check_all(server, mount)
        assert len(place.bodies()) == 80


@test("a damaged body, with the server away: an error, not its bytes")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            check_all(server, mount)
            expected = fetch_mailbox(server, "Bulk")
        flip_each(place, random.Random(4))
        server.stop()
        with place.mount(server, "timeout=2") as mount:
            for name in listed(os.path.join(mount, "Bulk")):
                path = os.path.join(mount, "Bulk", name)
                try:
                    data = read(path)
                except OSError:
                    continue
                assert data == expected[uid_of(path)].data, "wrong bytes"
                raise AssertionError("it was damaged, how can it be right?")


def index_files(place):
    return [os.path.join(folder, name) for folder, _, names in os.walk(place.cache) for name in names
            if name.startswith("index.db")]


def add_index_test(name, damage):
    @test(f"index, while unmounted: {name}")
    def _():
        with sample_server() as server, Place() as place:
            with place.mount(server) as mount:
                check_all(server, mount)
                names = listed(os.path.join(mount, "Bulk"))
            files = index_files(place)
            assert files
            for path in files:
                damage(path)
            with place.mount(server) as mount:
                check_all(server, mount)
                assert listed(os.path.join(mount, "Bulk")) == names
            with place.mount(server) as mount:
                check_all(server, mount)


def scramble(path):
    rng = random.Random(4)
    with open(path, "r+b") as file:
        size = os.path.getsize(path)
        for _ in range(200):
            file.seek(rng.randrange(size))
            file.write(bytes([rng.randrange(256)]))


add_index_test("deleted", os.unlink)
add_index_test("replaced by text", lambda path: open(path, "wb").write(b"this is no database\n" * 1000))
add_index_test("cut in the middle", lambda path: os.truncate(path, os.path.getsize(path) // 2 + 100))
add_index_test("emptied", lambda path: os.truncate(path, 0))
add_index_test("200 random bytes written over", scramble)
add_index_test("the middle zeroed", lambda path: subprocess.run(
    ["dd", "if=/dev/zero", "of=" + path, "bs=4096", "seek=2", "count=6", "conv=notrunc"], check=True, stderr=subprocess.DEVNULL))


@test("killed in the middle of fetching, again and again: every file is right after the remount")
def _():
    rng = random.Random(5)
    with sample_server() as server, Place() as place:
        for round_ in range(6):
            if round_ % 3 == 0:
                place.forget()
            with place.mount(server, unmount=False) as mount:
                reader = subprocess.Popen(["sh", "-c", f'cat "{mount}"/Bulk/* "{mount}"/Large/* >/dev/null 2>&1'])
                time.sleep(rng.random() * 0.25)
                for pid in processes(mount):
                    os.kill(pid, signal.SIGKILL)
                reader.wait(20)
                assert wait_for(lambda: not processes(place.directory))
            with place.mount(server) as mount:
                check_all(server, mount)
            assert not is_mounted(place.path("mnt"))


@test("what another account or another server left in the cache is not shown")
def _():
    with sample_server() as server, Dovecot() as other, Place() as place:
        other.fill(samples.bulk_mail(10, 4000, seed=77))
        other.start()
        with place.mount(server) as mount:
            check_all(server, mount)
        with place.mount(other) as mount:
            expected = fetch_mailbox(other, "Bulk")
            assert len(listed(os.path.join(mount, "Bulk"))) == 10
            for name in listed(os.path.join(mount, "Bulk")):
                path = os.path.join(mount, "Bulk", name)
                assert read(path) == expected[uid_of(path)].data


@test("a message that is open goes on when its pages and its cached body go")
def _():
    with sample_server() as server, Place() as place:
        expected = fetch_mailbox(server, "Bulk")
        with place.mount(server) as mount:
            folder = os.path.join(mount, "Bulk")
            paths = [os.path.join(folder, name) for name in listed(folder)]
            for path in paths:
                read(path)
            files = [open(path, "rb", buffering=0) for path in paths]
            for path in paths:
                drop_pages(path)
            for path in place.body_files():
                os.truncate(path, 0)
            for path, file in zip(paths, files):
                with file:
                    assert file.read() == expected[uid_of(path)].data, path
            assert all(os.path.getsize(path) > 0 for path in place.body_files()), "they were not fetched again"


@test("a scan of the disk cache gives the same bytes as the server")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            check_all(server, mount)
        expected = fetch_mailbox(server, "Bulk")
        with place.mount(server) as mount:
            for _ in range(2):
                copy = tempfile.mkdtemp(dir=place.path("."))
                subprocess.run(["cp", "-a", os.path.join(mount, "Bulk"), copy], check=True)
                for name in listed(os.path.join(mount, "Bulk")):
                    data = read(os.path.join(copy, "Bulk", name))
                    assert data == expected[uid_of(os.path.join(mount, "Bulk", name))].data, name


@test("the cache is the owner's alone")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            check_all(server, mount)
            for folder, _, names in os.walk(place.cache):
                if folder != place.cache and "mailfs" + os.sep in folder + os.sep and not folder.endswith("mailfs"):
                    assert os.stat(folder).st_mode & 0o077 == 0, folder
                for name in names:
                    assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0, name


main()
