# SPDX-License-Identifier: MIT
"""Sequences of operations, chosen by a seed, against a plain model of an account (model.py, steps.py). MODEL_SEED gives
the seed (or "random"), MODEL_STEPS how many; a failed sequence tells its seed and what was done."""
import contextlib
import errno
import os
import random
import re
import tempfile

from common import Dovecot, Place, main, samples, test
from faults import Filter, bare_expunges
from model import Copy, Model
from steps import Complaint, Steps, seed_of
from worlds import FakeWorld, MailWorld

SEED = seed_of("201")
STEPS = int(os.environ.get("MODEL_STEPS") or 2500)
MAILBOXES = ["INBOX", "Sent", "Drafts", "Trash", "Junk"]
OPTIONS = ("dir-time=1", "delete-limit=0")


# The model itself

def fake_run(seed, fault=None, steps=600, every=50):
    with tempfile.TemporaryDirectory(prefix="mailfs-model-") as top:
        world = FakeWorld(top, MAILBOXES)
        world.shell.fault = fault
        walk = Steps(world, Model(MAILBOXES), seed)
        walk.run(steps, every)
        return walk


@test("the model itself: an account that does everything right has no complaint")
def _():
    for seed in range(4):
        walk = fake_run(seed)
    assert len(walk.counts) > 18, walk.counts


@test("the model itself: it notices each single thing that goes wrong")
def _():
    for fault, words in {
            "half": "should be", "unwritten": "LOST", "flags of a new file": "DIFFERENT", "date": "DIFFERENT",
            "copied twice": "DOUBLED", "flags": "DIFFERENT", "lost in a move": "LOST", "left behind by a move": "DOUBLED",
            "another name": "is called", "no trash": "LOST", "bare expunge": "LOST"}.items():
        said = []
        for seed in range(12):
            try:
                fake_run(seed, fault, 200, 4)
            except (Complaint, FileNotFoundError) as complaint:
                said.append(str(complaint))
                if words in said[-1]:
                    break
        assert said and words in said[-1], f"{fault}: {said[-1:]}"


@test("the model itself: what was cut off may be done or not, but not by half")
def _():
    def one(seed, fault):
        chance = random.Random(seed)

        def killed():
            if chance.random() < 0.05:
                raise ConnectionAbortedError(errno.ECONNABORTED, "killed")
        with tempfile.TemporaryDirectory(prefix="mailfs-model-") as top:
            world = FakeWorld(top, MAILBOXES)
            world.shell.killed, world.shell.fault = killed, fault
            Steps(world, Model(MAILBOXES), seed, faulty=True, plain=True).run(400, 30)
    for seed in range(4):
        one(seed, None)
    for fault in ("left behind by a move", "lost in a move", "no trash"):
        try:
            for seed in range(4):
                one(seed, fault)
        except (Complaint, FileNotFoundError):
            continue
        raise AssertionError(f"{fault} was not noticed")


# The mount

@contextlib.contextmanager
def account(**settings):
    with Dovecot(**settings) as server, Place() as place:
        for mailbox in MAILBOXES:
            server.folder((mailbox,))
        server.start()
        world = MailWorld(server, place)
        yield server, place, world
        world.close()


@test(f"{STEPS} steps of people, programs and another client: server, mount and model agree, also after a remount and "
      "with an empty cache")
def _():
    print(f"# seed {SEED}")
    with account() as (server, place, world):
        walk = Steps(world, Model(MAILBOXES), SEED)
        for part in range(2):
            with place.mount(server, *OPTIONS, url=server.url(), tls=False) as world.root:
                if part:
                    walk.check()
                walk.run(STEPS // 2)
        place.forget()
        with place.mount(server, *OPTIONS, url=server.url(), tls=False) as world.root:
            walk.check(fresh=True)
        print(f"# {walk.counts}")


def run_without(seed, without, steps=STEPS // 6):
    """Steps on a server without some capabilities, where another client's \\Deleted message is in each mailbox."""
    with account(rawlog=True) as (server, place, world), Filter(server.port, without) as proxy:
        model = Model(MAILBOXES, can_expunge="UIDPLUS" not in without)
        walk = Steps(world, model, seed)
        for mailbox in MAILBOXES:
            copy = model.add(Copy(walk.letter(), mailbox, {"\\Deleted"}, (samples.START, samples.START)))
            copy.theirs = copy.lasting = True
            world.foreign.deliver(mailbox, copy.data, copy.flags, samples.START)
        url = server.url().replace(str(server.port), str(proxy.port))
        with place.mount(server, *OPTIONS, url=url, tls=False) as world.root:
            walk.run(steps, 50)
        # What unmounting does counts too.
        with place.mount(server, *OPTIONS, url=url, tls=False) as world.root:
            walk.check()
        bare = bare_expunges(proxy.commands)
        assert not [mailbox for mailbox, text in bare if mailbox in MAILBOXES], bare
        assert not [text for _, text in bare if text.upper().startswith("CLOSE")], bare
        told = [line for line in server.commands() if re.match(r"\S+ (EXPUNGE|CLOSE)\s*$", line, re.I)]
        assert len(told) == len(bare), (told, bare)
        for name in without:
            if name in ("MOVE", "UIDPLUS"):
                word = {"MOVE": "UID MOVE", "UIDPLUS": "UID EXPUNGE"}[name]
                assert not [text for _, text in proxy.commands if text.upper().startswith(word)], name


for number, words in enumerate((["UIDPLUS", "MOVE"], ["MOVE"], ["UIDPLUS"],
                                ["CONDSTORE", "QRESYNC", "SPECIAL-USE", "LITERAL+", "MULTIAPPEND", "ESEARCH", "NOTIFY"])):
    @test(f"without {', '.join(words)}: the same, and no message that another client has marked \\Deleted is expunged")
    def _(words=tuple(words), number=number):
        print(f"# seed {SEED + number}")
        run_without(SEED + number, words)


if __name__ == "__main__":
    main()
