# SPDX-License-Identifier: MIT
"""A server that lies about RFC822.SIZE: whatever reads a file gets the whole of it, and no more."""
import mmap
import os
import subprocess

from common import Place, drop_pages, listed, main, read, rsync, test
from liar import Liar

LINE = b"0123456789abcdefghijklmnopqrstuvwxyz 0123456789 the quick brown fox jumps over\r\n"


def message(number, size):
    head = (f"Message-ID: <{number}@liar.example>\r\nDate: Sat, 21 Nov 2026 06:38:12 +0000\r\n"
            f"From: liar@liar.example\r\nSubject: Liar {number}\r\n\r\n").encode()
    body = LINE * (size // len(LINE) + 1)
    return head + body[:size] + b"end of %d\r\n" % number


MAIL = {uid: message(uid, size) for uid, size in enumerate((1, 900, 4096, 50_000, 131_072, 700_001), 1)}

LIES = {
    "too small": lambda data: len(data) * 9 // 10,
    "far too small": lambda data: 1,
    "zero": lambda data: 0,
    "too big": lambda data: len(data) * 11 // 10,
    "far too big": lambda data: len(data) * 20 + 1_000_000,
    "true": len,
    "not told": lambda data: None,
}


def by_cat(folder, name, _):
    return subprocess.run(["cat", name], cwd=folder, check=True, capture_output=True).stdout


def by_cp(folder, name, target):
    subprocess.run(["cp", os.path.join(folder, name), target], check=True)
    return read(os.path.join(target, name))


def by_python(folder, name, _):
    return read(os.path.join(folder, name))


def by_mmap(folder, name, _):
    with open(os.path.join(folder, name), "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        return view[:]


def by_tail(folder, name, _):
    """Seeks from the end."""
    end = subprocess.run(["tail", "-c", "8", name], cwd=folder, check=True, capture_output=True).stdout
    whole = read(os.path.join(folder, name))
    assert whole.endswith(end), (name, end)
    return whole


def whole_folder(tool):
    def take(folder, target):
        if tool == "rsync":
            subprocess.run(["rsync", "-a", folder + "/", target + "/"], check=True)
        elif tool == "cp -a":
            subprocess.run(["cp", "-a", folder, os.path.join(target, "copy")], check=True)
            target = os.path.join(target, "copy")
        else:
            pack = subprocess.Popen(["tar", "-C", folder, "-cf", "-", "."], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-C", target, "-xf", "-"], stdin=pack.stdout, check=True)
            pack.stdout.close()
            assert pack.wait() == 0
        return {name: read(os.path.join(target, name)) for name in os.listdir(target) if name.endswith(".eml")}
    return take


def expect(folder, got, how):
    names = listed(folder)
    assert len(names) == len(MAIL), names
    for name, data in zip(names, (MAIL[uid] for uid in sorted(MAIL))):
        assert got[name] == data, f"{how}: {name}: {len(got[name])} bytes of {len(data)}, or other bytes"
        assert os.stat(os.path.join(folder, name)).st_size == len(data), f"{how}: st_size after"


def with_lie(lie, use):
    with Liar({"INBOX": MAIL}, LIES[lie]) as liar, Place() as place:
        with place.mount(liar, tls=False) as mount:
            folder = os.path.join(mount, "INBOX")
            # Everybody has looked at the sizes before, so the kernel knows them.
            sizes = {name: os.stat(os.path.join(folder, name)).st_size for name in listed(folder)}
            assert 0 not in sizes.values(), "a size of 0 is listed: tar would not even open the file"
            use(place, folder)
        # The true sizes outlive the mount, and rsync has nothing to do.
        with place.mount(liar, tls=False) as mount:
            folder = os.path.join(mount, "INBOX")
            assert [os.stat(os.path.join(folder, name)).st_size for name in listed(folder)] == \
                [len(MAIL[uid]) for uid in sorted(MAIL)], "sizes after a remount"


def add_tests(lie):
    for how, tool in (("cat", by_cat), ("cp", by_cp), ("python read", by_python), ("python mmap", by_mmap),
                      ("tail -c", by_tail)):
        @test(f"size {lie}: {how} gets every byte")
        def _(how=how, tool=tool):
            def use(place, folder):
                target = place.path("out")
                os.mkdir(target)
                expect(folder, {name: tool(folder, name, target) for name in listed(folder)}, how)
            with_lie(lie, use)

    for how in ("tar", "rsync", "cp -a"):
        @test(f"size {lie}: {how} of the folder gets every byte")
        def _(how=how):
            def use(place, folder):
                target = place.path("out")
                os.mkdir(target)
                expect(folder, whole_folder(how)(folder, target), how)
                if how == "rsync":
                    assert rsync(folder, target) == []
            with_lie(lie, use)


for _lie in LIES:
    add_tests(_lie)


@test("a size that was corrected stays true when the body has left the cache")
def _():
    with Liar({"INBOX": MAIL}, LIES["too small"]) as liar, Place() as place:
        with place.mount(liar, tls=False) as mount:
            folder = os.path.join(mount, "INBOX")
            for name in listed(folder):
                read(os.path.join(folder, name))
        for path in place.body_files():
            os.unlink(path)
        with place.mount(liar, tls=False) as mount:
            folder = os.path.join(mount, "INBOX")
            for name, uid in zip(listed(folder), sorted(MAIL)):
                path = os.path.join(folder, name)
                assert os.stat(path).st_size == len(MAIL[uid])
                drop_pages(path)
                assert read(path) == MAIL[uid]


@test("two programs that open a file at once both see all of it")
def _():
    with Liar({"INBOX": MAIL}, LIES["too small"]) as liar, Place() as place:
        with place.mount(liar, tls=False) as mount:
            folder = os.path.join(mount, "INBOX")
            for name, uid in zip(listed(folder), sorted(MAIL)):
                path = os.path.join(folder, name)
                readers = [subprocess.Popen(["cat", path], stdout=subprocess.PIPE) for _ in range(4)]
                for reader in readers:
                    assert reader.communicate()[0] == MAIL[uid]
                    assert reader.returncode == 0


main()
