# SPDX-License-Identifier: MIT
"""SIGKILL while programs wait for answers: nobody hangs, and the next mailfs mounts."""
import contextlib
import os
import random
import signal
import time

from common import Place, filled, listed, main, processes, test, wait_for
from victim import injected

KILLS = 30
SEED = int(os.environ.get("KILL_SEED") or 1)


def rename_for_ever(mount):
    """A process that moves messages to and fro until somebody stops it or the mount is dead."""
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(OSError):
        source, target = os.path.join(mount, "Bulk"), os.path.join(mount, "Target")
        while True:
            for name in listed(source)[:100]:
                os.rename(os.path.join(source, name), os.path.join(target, name))
            source, target = target, source
    os._exit(0)


@test(f"killed {KILLS} times in the middle of renames: each time the next mount comes up in seconds, and no process stays")
def _():
    print(f"# seed {SEED}")
    chance = random.Random(SEED)
    slowest, clients, victims = 0, [], []
    with filled(300) as server, Place() as place:
        for _ in range(KILLS):
            started = time.monotonic()
            with place.mount(server, "dir-time=1", "delete-limit=0", url=server.url(), tls=False, unmount=False) as mount:
                slowest = max(slowest, time.monotonic() - started)
                clients.append(rename_for_ever(mount))
                # When is the point: anywhere in the work.
                time.sleep(chance.uniform(0.01, 0.3))
                for pid in processes(mount):
                    os.kill(pid, signal.SIGKILL)
                    victims.append(pid)
        assert slowest < 5, slowest
        print(f"# slowest mount: {slowest:.2f} s")
        # The last one too, by the other way.
        done = place.mailfs("umount", mount)
        assert done.returncode == 0, done
        assert wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in victims), 5), victims
        for client in clients:
            assert wait_for(lambda: os.waitpid(client, os.WNOHANG)[0] != 0, 5), "a client hangs"


@contextlib.contextmanager
def killed_at_once(place, server):
    """mailfs, whose index needs long to write, and which does not survive what is done then."""
    with place.mount(server, "delete-limit=0", url=server.url(), tls=False, unmount=False) as mount:
        for name in ("Bulk", "Target"):
            listed(os.path.join(mount, name))
        time.sleep(0.3)
        pid = processes(mount)[0]
        files = [os.path.join(folder, name) for folder, _, names in os.walk(place.cache) for name in names
                 if name.startswith("index.db")]
        with injected(pid, "pwrite64", "delay_enter=300000", *files):
            yield mount
            os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 10)


def write(path):
    with open(path, "w", encoding="ascii") as file:
        file.write(f"Subject: one\nMessage-ID: <{os.path.basename(path)}>\n\ntext\n")
    fd = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def rename(source, target, names):
    """From the second on they are answered for before the server has heard of it."""
    for name, new in zip(sorted(listed(source)), names):
        os.rename(os.path.join(source, name), os.path.join(target, new))


@test("the name that a program has given is kept when mailfs is killed at once, however long its index takes to write")
def _():
    one, two = ["first.eml"], ["first.eml", "second.eml"]
    for what, names, call in (
            ("mv to another mailbox", one, lambda bulk, target: rename(bulk, target, one)),
            ("mv two to another mailbox", two, lambda bulk, target: rename(bulk, target, two)),
            ("mv in a mailbox", one, lambda bulk, target: rename(target, target, one)),
            ("write", two, lambda bulk, target: [write(os.path.join(target, name)) for name in two])):
        with filled(4) as server, Place() as place:
            if what == "mv in a mailbox":
                with place.mount(server, "delete-limit=0", url=server.url(), tls=False) as mount:
                    rename(os.path.join(mount, "Bulk"), os.path.join(mount, "Target"), ["other.eml"])
            with killed_at_once(place, server) as mount:
                call(os.path.join(mount, "Bulk"), os.path.join(mount, "Target"))
            with place.mount(server, url=server.url(), tls=False) as mount:
                target = os.path.join(mount, "Target")
                kept = wait_for(lambda: sorted(listed(target)) == names, 10)
                assert kept, f"{what}: {listed(target)}"


if __name__ == "__main__":
    main()
