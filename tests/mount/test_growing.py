# SPDX-License-Identifier: MIT
"""Big messages are read while they come in: the head costs only the head, and every byte is right all the same."""
import errno
import os
import re
import signal
import subprocess
import sys
import time

from common import Place, expunge, fetch_mailbox, listed, main, read, rsync, samples, test, uid_of, wait_for
from liar import Liar
from proxy import Line

MB = 1_000_000
# In a process of its own: a fault that waits would hold up the threads of this one, the proxy's too.
MAPPED = """
import mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, getattr(mmap, sys.argv[2]), mmap.PROT_READ) as view:
    sys.stdout.buffer.write(view[6_000_000:] + view[:])
"""
TIMEOUT = 4


class Big(Line):
    """Big messages."""

    def __init__(self, sizes=(10 * MB,), **settings):
        super().__init__([samples.large(samples.Writer(number), ("Big",), size) for number, size in enumerate(sizes)],
                         f"timeout={TIMEOUT}", **settings)

    def expected(self):
        return [message.data for _, message in sorted(fetch_mailbox(self.server, "Big").items())]


def big(mount, folder="Big"):
    return [os.path.join(mount, folder, name) for name in listed(os.path.join(mount, folder))]


def received(mount):
    return int(re.search(r"received_bytes_total (\d+)", read(os.path.join(mount, ".mailfs", "metrics")).decode()).group(1))


def output(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


@test("head of 40 MB costs less than 512 kB of the line; cat then gets every byte, the second time from the cache")
def _():
    with Big((40 * MB,)) as line, line.mount() as mount:
        data, path = line.expected()[0], big(mount)[0]
        before = received(mount)
        assert output("head", "-c", "4096", path) == data[:4096]
        time.sleep(0.3)
        cost = received(mount) - before
        print(f"# {cost} bytes")
        assert cost < 512_000, cost
        assert line.place.bodies() == [], "what was begun is left behind"
        assert output("cat", path) == data
        assert os.stat(path).st_size == len(data)
        before = received(mount)
        assert output("cat", path) == data
        assert received(mount) - before < 10_000
        assert len(line.place.bodies()) == 1


@test("cp, rsync, git, tail, a seeking reader and both kinds of mapping get every byte")
def _():
    with Big((7 * MB,) * 8) as line, line.mount() as mount:
        data, paths, out = line.expected(), big(mount), line.place.path("out")
        os.mkdir(out)
        subprocess.run(["cp", paths[7], out], check=True)
        assert read(os.path.join(out, os.path.basename(paths[7]))) == data[7]
        assert output("git", "hash-object", "--no-filters", paths[5]) == subprocess.run(
            ["git", "hash-object", "--stdin"], input=data[5], check=True, capture_output=True).stdout
        assert output("tail", "-c", "1000", paths[3]) == data[3][-1000:]
        with open(paths[1], "rb") as file:
            for at in (5 * MB, 100, 6 * MB + 7, 3 * MB, 0):
                file.seek(at)
                assert file.read(70_000) == data[1][at:at + 70_000], at
            file.seek(0, os.SEEK_END)
            assert file.tell() == len(data[1])
            assert file.read(10) == b""
        for number, kind in ((6, "MAP_SHARED"), (4, "MAP_PRIVATE")):
            assert output(sys.executable, "-c", MAPPED, paths[number], kind) == data[number][6 * MB:] + data[number]
        assert output("grep", "-c", "", paths[2]) == b"%d\n" % data[2].count(b"\n")
        assert rsync(os.path.join(mount, "Big"), out, "--checksum") != []
        for path, want in zip(paths, data):
            assert read(os.path.join(out, os.path.basename(path))) == want
        assert rsync(os.path.join(mount, "Big"), out, "--checksum") == []


# Tells when it has opened a message, maps it when told to, tells that, and holds it.
HELD = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    file.read(1000)
    print("open", flush=True)
    sys.stdin.readline()
    with mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as view:
        print(len(view[:]), flush=True)
        sys.stdin.readline()
        sys.stdout.buffer.write(view[:])
"""


@test("who opened a message while it came in may map it later, and others open it meanwhile")
def _():
    with Big((8 * MB,)) as line, line.mount() as mount:
        data, path = line.expected()[0], big(mount)[0]
        with subprocess.Popen([sys.executable, "-c", HELD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"open\n"
            assert output("cat", path) == data
            assert wait_for(lambda: len(line.place.bodies()) == 1)
            assert output("cat", path) == data
            holder.stdin.write(b"\n")
            holder.stdin.flush()
            assert int(holder.stdout.readline()) == len(data)
            assert output("cat", path) == data
            with open(path, "rb") as file:
                assert holder.communicate(b"\n")[0] == data
                assert file.read() == data
        assert output("cat", path) == data


@test("two readers at once share one fetch, and so do a reader and a view")
def _():
    with Big((8 * MB,) * 3) as line, line.mount() as mount:
        data, path = line.expected()[0], big(mount)[0]
        before = received(mount)
        readers = [subprocess.Popen(["cat", path], stdout=subprocess.PIPE) for _ in range(2)]
        with open(path, "rb") as file:
            assert file.read(1000) == data[:1000]
            for reader in readers:
                assert reader.communicate()[0] == data
        cost = received(mount) - before
        assert cost < len(data) * 1.05, (cost, len(data))
        path, data = big(mount)[2], line.expected()[2]
        before = received(mount)
        with open(path, "rb") as file:
            file.read(1000)
            text = read(path.replace("/Big/", "/.text/Big/")[:-len(".eml")] + ".txt")
            assert file.read() == data[1000:]
        assert len(text) > 100
        cost = received(mount) - before
        assert cost < len(data) * 1.05, (cost, len(data))


@test("Ctrl-C and kill end a reader at once when the line stalls in the middle")
def _():
    with Big((30 * MB,)) as line, line.mount("timeout=30") as mount:
        path = big(mount)[0]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with open(path, "rb") as opened:
                opened.read(1000)
                line.proxy.stall()
                reader = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(0.7)
                assert reader.poll() is None, "it did not wait"
                started = time.monotonic()
                reader.send_signal(number)
                reader.wait(10)
                assert time.monotonic() - started < 0.5, number
                line.proxy.go_on()
        assert wait_for(lambda: read(path) == line.expected()[0], 30)


@test("a stall in the middle ends in the timeout; what is here is readable, and the next open is whole")
def _():
    with Big((20 * MB,)) as line, line.mount() as mount:
        path, data = big(mount)[0], line.expected()[0]
        with open(path, "rb", buffering=0) as file:
            assert file.read(1000) == data[:1000]
            line.proxy.stall()
            started = time.monotonic()
            try:
                while file.read(65536):
                    pass
                raise AssertionError("all of it came over a stalled line")
            except OSError as error:
                assert error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH), error
            assert time.monotonic() - started < TIMEOUT + 2
            file.seek(0)
            assert file.read(65536) == data[:65536]
            line.proxy.go_on()

        def whole():
            try:
                return read(path) == data
            except OSError:
                return False
        assert wait_for(whole, 30)


@test("a line that is cut in the middle is opened again, and the reader gets every byte")
def _():
    for reset in (False, True):
        with Big((20 * MB,)) as line, line.mount() as mount:
            path, data = big(mount)[0], line.expected()[0]
            with open(path, "rb") as file:
                got = file.read(200_000)
                line.proxy.cut(3 * MB, reset)
                got += file.read(18 * MB)
                got += file.read()
            assert got == data
            line.proxy.go_on()
            assert read(path) == data
            assert len(line.place.bodies()) == 1


@test("a message that is deleted while it is read: what is here is readable, the rest is ESTALE or right")
def _():
    with Big((20 * MB,)) as line, line.mount() as mount:
        path, data = big(mount)[0], line.expected()[0]
        with open(path, "rb", buffering=0) as file:
            got = file.read(1000)
            expunge(line.server, "Big", uid_of(path))
            # Dovecot's other sessions may go on reading what they have open.
            for folder, _, names in os.walk(line.server.mail):
                for name in names:
                    if ".sample," in name:
                        os.unlink(os.path.join(folder, name))
            try:
                while True:
                    piece = file.read(65536)
                    if not piece:
                        break
                    got += piece
                assert got == data
            except OSError as error:
                assert error.errno == errno.ESTALE, error
                assert len(got) >= 128 * 1024 and got == data[:len(got)]
            file.seek(0)
            assert file.read(4096) == data[:4096]


def add_liar(name, size, parts):
    @test(f"a server whose {name}: every byte, and the true size after")
    def _():
        mail = {1: b"Message-ID: <1@liar>\r\nSubject: big\r\n\r\n" + b"0123456789abcde\r\n" * 300_000}
        with Liar({"INBOX": mail}, size, parts) as liar, Place() as place, place.mount(liar, tls=False) as mount:
            path = big(mount, "INBOX")[0]
            assert os.stat(path).st_size == size(mail[1])
            assert output("head", "-c", "4096", path) == mail[1][:4096]
            assert os.stat(path).st_size == len(mail[1])
            assert output("tail", "-c", "100", path) == mail[1][-100:]
            assert output("cat", path) == mail[1]
            assert read(path) == mail[1]
            subprocess.run(["cp", path, place.path("copy")], check=True)
            assert read(place.path("copy")) == mail[1]


for _arguments in (("size is one too small", lambda data: len(data) - 1, "right"),
                   ("size is one too big", lambda data: len(data) + 1, "right"),
                   ("size is far too small", lambda data: len(data) // 3, "right"),
                   ("size is far too big", lambda data: len(data) * 20, "right"),
                   ("parts are refused", len, "refused"),
                   ("parts are others than asked for", len, "odd"),
                   ("parts are more than asked for", len, "generous"),
                   ("parts are nothing", len, "nil")):
    add_liar(*_arguments)


@test("rg, which maps what it searches, finds the last line")
def _():
    with Big((9 * MB,)) as line, line.mount() as mount:
        path, data = big(mount)[0], line.expected()[0]
        last = max(data.splitlines()[-40:], key=len)
        found = output("rg", "-a", "--mmap", "-n", "-F", "-e", last.decode(), path).splitlines()
        assert found and found[-1].partition(b":")[2].rstrip(b"\r") == last, (last, found[-1:])


main()
