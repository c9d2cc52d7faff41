# SPDX-License-Identifier: MIT
"""The same few changes again and again, cut off at one byte after the other of what is said and heard, and killed at one
system call after the other of those that write, make durable and send: what was answered with success is done, once; what
was not is done or not done, wholly. SWEEP=all goes all the way (an hour); else it is how many bytes apart the line is cut,
and the rest is walked in part, too."""
import contextlib
import os
import time

from common import main, test, wait_for
from victim import PATIENCE, Victim, account, injected, is_alive, is_online

ALL = os.environ.get("SWEEP") == "all"
STEP = 7 if ALL else int(os.environ.get("SWEEP") or 175)
# What a server has, by number: see victim.POOR. 1: neither UIDPLUS nor MOVE.
SERVERS = (0, 1) if ALL else (1,)
CHANGES = ("write", "move", "copy", "remove", "flag") if ALL else ("move",)
# So many a mount: a line that is lost again and again is waited for longer and longer.
ROUND = 5
CALLS = ("pwrite64", "fsync", "fdatasync", "unlink", "rename", "sendto", "write") if ALL else ("fdatasync", "sendto")
STRIDE = 1 if ALL else 3


def change(walk, name):
    """One of that kind, on whatever there is."""
    for _ in range(20):
        if getattr(walk, "op_" + name)() is not None:
            return
    walk.op_write()


def cut_at(held, root, name, direction, byte):
    """FALSE: the change was over before so many bytes."""
    proxy = held.proxy
    assert wait_for(lambda: is_online(root), 30, 0.02), "it does not connect again"
    held.walk.note(f"to be cut: byte {byte} {direction}")
    (proxy.cut if direction == "received" else proxy.cut_sent)(byte, reset=byte % 2 == 0)
    change(held.walk, name)
    held.walk.settle(time.monotonic() + PATIENCE)
    was_cut = (proxy.budget if direction == "received" else proxy.sent_budget) is None
    proxy.go_on()
    return was_cut


def sweep_bytes(held, name, direction):
    # Flags that are set already are not set again: once is not enough to know.
    byte, missed = 1, 0
    while missed < 2:
        with held.mounted() as root:
            for _ in range(ROUND):
                missed = 0 if cut_at(held, root, name, direction, byte) else missed + 1
                byte += STEP
            held.walk.check()
    return byte


@test(f"cut off at every byte in {STEP} of what a change says and hears, with and without UIDPLUS and MOVE: nothing is lost, "
      "undone or doubled")
def _():
    with account() as held:
        for number in SERVERS:
            held.be_poorer(number)
            for name in CHANGES:
                for direction in ("received", "sent"):
                    print(f"# {name}: {sweep_bytes(held, name, direction)} bytes {direction}", flush=True)
        held.check_at_last()


def killed_at(held, call, count):
    """FALSE: no thread makes so many of these calls."""
    victim = Victim(held)
    walk = held.walk
    walk.dead = False
    walk.note(f"mounted, to be killed at {call} {count}")
    with injected(victim.pid, call, f"signal=KILL:when={count}"):
        for name in ("write", "move", "copy", "remove", "flag"):
            if not walk.dead:
                change(walk, name)
        with contextlib.suppress(OSError):
            held.world.settle(walk.model)
    survived = is_alive(victim.pid)
    victim.bury()
    walk.note("killed")
    walk.model.loosen_names()
    return not survived


def sweep_calls(held, call):
    count = 1
    while killed_at(held, call, count):
        count += STRIDE
        if count % (8 * STRIDE) == 1:
            held.check()
    held.check()
    return count


@test("killed at one system call after the other that writes, makes durable or sends: nothing that was acknowledged is lost or "
      "undone, nothing is doubled")
def _():
    with account() as held:
        for number in SERVERS:
            held.be_poorer(number)
            for call in CALLS:
                print(f"# {call}: killed at each {STRIDE}. of {sweep_calls(held, call)}", flush=True)
        held.check_at_last()


if __name__ == "__main__":
    main()
