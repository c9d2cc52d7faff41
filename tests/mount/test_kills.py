# SPDX-License-Identifier: MIT
"""mailfs is killed, at any moment of any work: what was answered with success is done, once; what was not is done or not
done, wholly; and nobody else's mail is touched. MODEL_SEED gives the seed (or "random"), KILLS how often."""
import contextlib
import os
import random

from common import main, test
from faults import later
from victim import COMMANDS, SEED, Victim, account, injected

KILLS = int(os.environ.get("KILLS") or 200)
ROUND = 8
# Where it writes, and where it makes durable what it has written.
CALLS = "pwrite64,fsync,fdatasync,unlinkat,unlink,rename,renameat,renameat2,sendto"


@contextlib.contextmanager
def doomed(chance, proxy, victim):
    """Arms what kills it: at some time, at a command (before the server has it, before it answers, before the answer
    comes), at a system call, or when nothing else has, at the end."""
    how = chance.choice(["time", "time", "before", "after", "answer", "answer", "call", "last"])
    with contextlib.ExitStack() as stack:
        if how == "time":
            stack.callback(later(chance.expovariate(1 / 0.03), victim.kill).cancel)
        elif how == "call":
            # Counted for each thread.
            stack.enter_context(injected(victim.pid, CALLS, f"signal=KILL:when={chance.randrange(1, 30)}"))
        elif how != "last":
            proxy.call(COMMANDS, how, chance.randrange(1, 5), victim.kill)
        try:
            yield how
        finally:
            victim.bury()
            proxy.go_on()


def one_life(chance, held):
    """Mount, a few operations, death."""
    walk = held.walk
    victim = Victim(held)
    walk.dead = False
    with doomed(chance, held.proxy, victim) as how:
        walk.note(f"mounted, to be killed: {how}")
        for _ in range(chance.randrange(3, 12)):
            walk.step()
            if walk.dead:
                break
    walk.note("killed")
    walk.model.loosen_names()


@test(f"killed {KILLS} times, on servers with and without UIDPLUS, MOVE, CONDSTORE, SPECIAL-USE: nothing that was "
      "acknowledged is lost or undone, nothing is doubled, nothing that others marked is gone")
def _():
    chance = random.Random(SEED)
    with account() as held:
        for number in range(KILLS):
            if number % ROUND == 0:
                held.be_poorer(number // ROUND)
            one_life(chance, held)
            if number % ROUND == ROUND - 1 or number == KILLS - 1:
                held.check()
        held.check_at_last()


if __name__ == "__main__":
    main()
