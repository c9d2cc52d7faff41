# SPDX-License-Identifier: MIT
"""A message written into Outbox is delivered once, or waits in failed/ for its user: wherever the line ends, whenever
mailfs is killed."""
import contextlib
import os
import random
import signal
import time

from common import Dovecot, Place, listed, main, processes, run_umount, test, wait_for
from postman import Postman

MESSAGE = "From: alice@localhost\r\nTo: bob@example.org\r\nSubject: {name}\r\n\r\n.\r\n{name}\r\n"


def write(mount, name):
    path = os.path.join(mount, "Outbox", name)
    with open(path, "w", encoding="ascii", newline="") as file:
        file.write(MESSAGE.format(name=name))


def count(postman, name):
    return sum(f"\r\n.\r\n{name}\r\n".encode() in content for _, _, content in postman.delivered)


def options(postman):
    return ("tls=none", f"smtp={postman.url}", "hold=0", "save-sent=no", "timeout=5")


@contextlib.contextmanager
def world():
    with Dovecot() as server, Place() as place, Postman() as postman:
        yield server.start(), place, postman


def is_done(mount, name):
    """Neither on its way nor waiting for it."""
    return name not in listed(os.path.join(mount, "Outbox"))


def failed(mount, name):
    folder = os.path.join(mount, "Outbox", "failed")
    if name not in listed(folder):
        return False
    with open(os.path.join(folder, name + ".why"), encoding="utf-8") as file:
        why = file.read()
    assert "may have been delivered" in why.replace("\n", " "), why
    return True


def check_cut(mount, pid, postman, name, at):
    """The line ends at this byte of the message; returns whether it went to failed/."""
    cuts = postman.cuts
    postman.cut_at = at
    write(mount, name)

    def now(what):
        if not what():
            os.kill(pid, signal.SIGHUP)  # the user wants it: now, and not in a minute
        return what()

    assert wait_for(lambda: now(lambda: postman.cuts > cuts), 20, 0.05), f"{name}, cut at {at}: not begun"
    assert wait_for(lambda: now(lambda: is_done(mount, name)), 20, 0.05), f"{name}, cut at {at}: still there"
    unknown, delivered = failed(mount, name), count(postman, name)
    assert delivered <= 1 if unknown else delivered == 1, f"{name}, cut at {at}: {delivered}, in failed/: {unknown}"
    return unknown


@test("wherever the line ends, a message arrives once, or waits in failed/ for its user")
def _():
    with world() as (server, place, postman), place.mount(server, *options(postman), tls=False) as mount:
        pid = processes(mount)[0]
        write(mount, "m0000")
        postman.wait(lambda: len(postman.delivered) == 1)
        size = postman.size
        content = size - len(postman.delivered[0][2])
        places = [*range(1, size, 11), *range(size - 3, size + 1)]
        unknown = []
        for number, at in enumerate(places, 1):
            postman.reset = number % 2 == 0
            if check_cut(mount, pid, postman, f"m{number:04}", at):
                unknown.append(at)
        postman.before_answer = True
        assert check_cut(mount, pid, postman, "m9999", size), "nobody has said that it was delivered"
        print(f"# {len(places)} cuts of {size} bytes; in failed/: {unknown}")
        assert all(at > content - 20 for at in unknown), "the content had not begun"


def kill(mount, pid):
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not processes(mount), 10)
    run_umount(mount, lazy=True)


@test("whenever mailfs is killed, a message arrives once, or waits in failed/ for its user")
def _():
    dice = random.Random(os.environ.get("MAILFS_SEED", "1"))
    with world() as (server, place, postman):
        names, unknown = [], set()
        for turn in range(10):
            with place.mount(server, *options(postman), tls=False, unmount=False) as mount:
                fresh = [f"m{turn:02}{number:02}" for number in range(8)]
                due = len(postman.delivered) + dice.randrange(len(fresh))
                for name in fresh:
                    write(mount, name)
                names += fresh
                postman.wait(lambda: len(postman.delivered) >= due)
                time.sleep(dice.random() * 0.004)  # anywhere between one delivery and the next
                kill(mount, processes(mount)[0])
        with place.mount(server, *options(postman), tls=False) as mount:
            os.kill(processes(mount)[0], signal.SIGHUP)
            assert wait_for(lambda: not listed(os.path.join(mount, "Outbox")), 30), listed(os.path.join(mount, "Outbox"))
            for name in names:
                delivered = count(postman, name)
                if failed(mount, name):
                    unknown.add(name)
                    assert delivered <= 1, f"{name}: {delivered}"
                else:
                    assert delivered == 1, f"{name}: {delivered}"
        print(f"# {len(names)} messages, 10 kills; in failed/: {sorted(unknown)}")
        assert len(unknown) <= 10, "more than one of a line"


main()
