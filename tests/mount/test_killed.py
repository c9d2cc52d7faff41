# SPDX-License-Identifier: MIT
"""SIGKILL while programs wait for answers: nobody hangs, and the next mailfs mounts."""
import contextlib
import os
import random
import signal
import time

from common import Place, filled, listed, main, processes, test, wait_for

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


if __name__ == "__main__":
    main()
