# SPDX-License-Identifier: MIT
"""Whatever the server does, nobody hangs: an errno within the timeout, Ctrl-C at once, cached files unharmed."""
import errno
import os
import signal
import subprocess
import sys
import threading
import time

from common import (Place, fetch_mailbox, folders, is_mounted, listed, main, processes, read, samples, test,
                    uid_of, wait_for)
from liar import Liar
from proxy import Line

TIMEOUT = 3  # of the mounts here
GIVE_UP = {errno.ETIMEDOUT, errno.EHOSTUNREACH}


class Watched(Line):
    """What is read of Bulk makes mailfs fetch more of it, unasked; nobody reads Far before the line is bad."""

    def __init__(self, messages=None, **settings):
        super().__init__([*(messages or samples.bulk_mail(40, 3000)), *samples.bulk_mail(510, 1500, mailbox=("Far",))],
                         f"timeout={TIMEOUT}", **settings)


def attempt(path):
    """(errno or 0, seconds) of reading a file whole."""
    started = time.monotonic()
    try:
        read(path)
        number = 0
    except OSError as error:
        number = error.errno
    return number, time.monotonic() - started


def in_folder(mount, name="Bulk"):
    folder = os.path.join(mount, name)
    return [os.path.join(folder, name) for name in listed(folder)]


def comes_back(path, seconds=40):
    return wait_for(lambda: attempt(path)[0] == 0, seconds, 0.2)


@test("the server falls silent: an uncached read fails within the timeout, cached ones and ls go on")
def _():
    with Watched() as line, line.mount() as mount:
        paths, far = in_folder(mount), in_folder(mount, "Far")
        for path in paths[:10]:
            read(path)
        line.proxy.stall()
        number, seconds = attempt(far[0])
        assert number in GIVE_UP and seconds <= TIMEOUT + 2, (number, seconds)
        for path in paths[:10]:
            number, seconds = attempt(path)
            assert number == 0 and seconds < 0.1, (number, seconds)
        started = time.monotonic()
        assert len(in_folder(mount)) == 40 and "Bulk" in folders(mount)
        os.stat(far[-2])
        assert time.monotonic() - started < 0.5
        line.proxy.go_on()
        assert comes_back(far[0])


@test("a cached read that must ask mailfs again (no page in the kernel) is not held up by a stalled server")
def _():
    with Watched() as line, line.mount() as mount:
        paths, far = in_folder(mount), in_folder(mount, "Far")
        for path in paths[:10]:
            read(path)
        line.proxy.stall()
        stuck = subprocess.Popen(["cat", far[0]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for path in paths[:10]:
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
            number, seconds = attempt(path)
            assert number == 0 and seconds < 0.1, (number, seconds)
        assert stuck.wait(TIMEOUT + 5) != 0
        line.proxy.go_on()


@test("500 readers stuck on a stalled server: a cached read takes less than 100 ms, and all 500 get their errno")
def _():
    with Watched() as line, line.mount() as mount:
        paths, far = in_folder(mount), in_folder(mount, "Far")
        assert len(far) == 510
        for path in paths[:10]:
            read(path)
        line.proxy.stall()
        crowd = subprocess.Popen([sys.executable, __file__, "crowd", *far[:500]], stdout=subprocess.PIPE, text=True)
        assert crowd.stdout.readline() == "started\n"
        time.sleep(0.5)
        slowest = 0
        for _ in range(5):
            for path in paths[:10]:
                number, seconds = attempt(path)
                assert number == 0
                slowest = max(slowest, seconds)
            started = time.monotonic()
            os.listdir(os.path.join(mount, "Bulk"))
            read(os.path.join(mount, ".mailfs", "status"))
            slowest = max(slowest, time.monotonic() - started)
        assert crowd.poll() is None, "the crowd was not stuck"
        out, _ = crowd.communicate(timeout=60)
        results = [line.split() for line in out.splitlines()]
        print(f"# slowest cached read or ls {slowest * 1000:.1f} ms; crowd's slowest {max(float(s) for _, s in results):.1f} s")
        assert slowest < 0.1, slowest
        assert len(results) == 500
        assert all(int(number) in GIVE_UP for number, _ in results), {number for number, _ in results}
        assert max(float(seconds) for _, seconds in results) <= TIMEOUT + 2
        line.proxy.go_on()
        assert comes_back(far[-1])


def crowd_main(paths):
    results = []
    threads = [threading.Thread(target=lambda path=path: results.append(attempt(path))) for path in paths]
    for thread in threads:
        thread.start()
    print("started", flush=True)
    for thread in threads:
        thread.join()
    for number, seconds in results:
        print(number, f"{seconds:.3f}")


@test("Ctrl-C and kill end a waiting reader at once")
def _():
    with Watched() as line, line.mount("timeout=30") as mount:
        paths = in_folder(mount)
        line.proxy.stall()
        for number, command in ((signal.SIGINT, ["cat"]), (signal.SIGKILL, ["cat"]), (signal.SIGTERM, ["head", "-c1"]),
                                (signal.SIGINT, [sys.executable, "-c", "import sys; open(sys.argv[1],'rb').read()"])):
            reader = subprocess.Popen([*command, paths[-1]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.7)
            assert reader.poll() is None, "it did not wait"
            started = time.monotonic()
            reader.send_signal(number)
            reader.wait(10)
            assert time.monotonic() - started < 0.5, (command, number, time.monotonic() - started)
        line.proxy.go_on()
        assert comes_back(paths[-1])


@test("the line is cut in the middle of a body, by FIN and by RST: whole bytes or an errno, then back to normal")
def _():
    big = [samples.large(samples.Writer(9), ("Bulk",), 3_000_000) for _ in range(6)]
    for reset in (False, True):
        with Watched(big) as line, line.mount() as mount:
            expected = fetch_mailbox(line.server, "Bulk")
            for path, after in zip(in_folder(mount), (1, 100, 5000, 65_536, 1_000_000, 2_900_000)):
                line.proxy.cut(after, reset)
                started = time.monotonic()
                try:
                    assert read(path) == expected[uid_of(path)].data, "wrong bytes without an error"
                except OSError as error:
                    assert error.errno in GIVE_UP | {errno.EIO}, error
                assert time.monotonic() - started < TIMEOUT + 3
                line.proxy.go_on()
                assert comes_back(path)
                assert read(path) == expected[uid_of(path)].data


@test("a stall in the middle of a body ends in the timeout, and the body is whole the next time")
def _():
    with Watched([samples.large(samples.Writer(9), ("Bulk",), 3_000_000)]) as line, line.mount() as mount:
        path = in_folder(mount)[0]
        threading.Timer(0.02, line.proxy.stall).start()
        number, seconds = attempt(path)
        assert (number in GIVE_UP or number == 0) and seconds <= TIMEOUT + 2, (number, seconds)
        line.proxy.go_on()
        assert comes_back(path)
        assert read(path) == fetch_mailbox(line.server, "Bulk")[uid_of(path)].data


@test("the server goes away and comes back: errors meanwhile are quick, and it reconnects by itself")
def _():
    with Watched() as line, line.mount() as mount:
        paths, far = in_folder(mount), in_folder(mount, "Far")
        read(paths[0])
        line.proxy.refuse()
        assert wait_for(lambda: attempt(far[0])[0] in GIVE_UP, 10)
        for path in far[1:11]:
            number, seconds = attempt(path)
            assert number == errno.EHOSTUNREACH and seconds < 1, (number, seconds)
        assert attempt(paths[0])[0] == 0
        line.proxy.accept()
        assert comes_back(far[0]), line.place.mailfs("status", mount).stdout
        for path in paths + far[:20]:
            assert read(path)


@test("it does not hammer a server that is away")
def _():
    with Watched() as line, line.mount() as mount:
        read(in_folder(mount)[0])
        line.server.stop()
        line.proxy.cut(reset=True)
        before = line.proxy.connections
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            attempt(in_folder(mount)[-1])
            time.sleep(0.01)
        tried = line.proxy.connections - before
        print(f"# {tried} connections tried in 6 s")
        assert tried <= 20, tried
        line.server.start()


@test("after the password was refused it is not tried again, and what is cached stays readable")
def _():
    with Watched(mechanisms="plain login") as line, line.mount("connections=4") as mount:
        paths, far = in_folder(mount), in_folder(mount, "Far")
        read(paths[0])
        with open(line.server.path("passwd"), "w", encoding="ascii") as file:
            file.write("alice:{PLAIN}changed\n")
        line.server.restart()
        before = line.server.count_log(r"auth failed, [1-9]")
        line.proxy.cut()
        assert wait_for(lambda: attempt(far[0])[0] == errno.EACCES, 20, 0.2), attempt(far[0])
        for _ in range(20):
            for path in far[1:4]:
                number, seconds = attempt(path)
                assert number == errno.EACCES and seconds < 1, (number, seconds)
            assert attempt(paths[0])[0] == 0
            time.sleep(0.1)
        tried = line.server.count_log(r"auth failed, [1-9]") - before
        assert tried == 1, f"{tried} attempts"
        status = line.place.mailfs("status", mount).stdout.lower()
        assert "password" in status or "login" in status, status


@test("an idle line that dies without a word is noticed by the next reader, within the timeout")
def _():
    with Watched() as line, line.mount() as mount:
        paths = in_folder(mount)
        time.sleep(0.5)
        line.proxy.stall()
        number, seconds = attempt(paths[0])
        assert number in GIVE_UP and seconds <= TIMEOUT + 2, (number, seconds)
        line.proxy.go_on()
        line.proxy.cut(reset=True)
        assert comes_back(paths[0])


@test("the server is silent and readers wait: umount says at once that it is busy, or succeeds; SIGTERM ends it in seconds")
def _():
    with Watched() as line, line.mount("timeout=30", unmount=False) as mount:
        paths = in_folder(mount)
        line.proxy.stall()
        readers = [subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                   for path in paths[-5:]]
        time.sleep(0.5)
        started = time.monotonic()
        done = line.place.mailfs("umount", mount, timeout=40)
        print(f"# umount: exit {done.returncode} {done.stderr.strip()} ({time.monotonic() - started:.1f} s)")
        assert time.monotonic() - started < 5
        if done.returncode == 0:
            assert not is_mounted(mount)
        else:
            assert is_mounted(mount) and len(done.stderr.strip().splitlines()) == 1, done
        started = time.monotonic()
        for pid in processes(mount):
            os.kill(pid, signal.SIGTERM)
        assert wait_for(lambda: not processes(mount) and not is_mounted(mount), 12), "still there"
        print(f"# SIGTERM: {time.monotonic() - started:.1f} s")
        assert time.monotonic() - started <= 10
        assert all(reader.wait(5) != 0 for reader in readers)


@test("a server that stops at the login, at LIST, or in the greeting: the mount command gives up in time")
def _():
    for after in (0, 60, 400):
        with Watched() as line:
            if after:
                threading.Timer(0.03 if after == 60 else 0.06, line.proxy.stall).start()
            else:
                line.proxy.stall()
            url = line.server.url().replace(str(line.server.port), str(line.proxy.port))
            started = time.monotonic()
            mount = line.place.mountpoint()
            done = line.place.mailfs(url, mount, "-o", f"timeout={TIMEOUT},tls-ca={line.server.ca}",
                                     password=line.server.password)
            seconds = time.monotonic() - started
            assert seconds < 4 * TIMEOUT, seconds
            line.proxy.go_on()
            if done.returncode == 0:  # it was faster than the stall
                line.place.unmount(mount)
            else:
                assert done.returncode == 69 and len(done.stderr.strip().splitlines()) == 1, done


@test("a server that answers a FETCH without the body: an errno, not an empty file")
def _():
    mail = {1: b"Subject: one\r\n\r\nBody\r\n", 2: b"Subject: two\r\n\r\nBody\r\n"}
    with Liar({"INBOX": mail}) as liar, Place() as place:
        with place.mount(liar, f"timeout={TIMEOUT}", tls=False) as mount:
            paths = in_folder(mount, "INBOX")
            del mail[1]
            number, seconds = attempt(paths[0])
            assert number in {errno.ENOENT, errno.EIO, errno.ESTALE} and seconds < TIMEOUT + 2, (number, seconds)
            assert attempt(paths[1])[0] == 0


if __name__ == "__main__" and sys.argv[1:2] == ["crowd"]:
    crowd_main(sys.argv[2:])
else:
    main()
