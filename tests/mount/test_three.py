# SPDX-License-Identifier: MIT
"""Two mounts of one account and another client (a phone) change the same mail at the same time, chosen by a seed
(THREE_SEED). Some messages are everybody's, some belong to one of the three alone, some to nobody."""
import contextlib
import errno
import os
import random
import re
import threading
import time

from common import Dovecot, Place, append, compare_folder, fetch_mailbox, flags_of, listed, main, processes, samples, test, uid_of, wait_for

SEED = int(os.environ.get("THREE_SEED") or 1)
SECONDS = 12
BOXES = ["Bulk", "Work", "Lists", "Trash"]
FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "work"]
# What happens to who is too late.
LATE = (errno.ENOENT, errno.ESTALE, errno.EEXIST)


def letter(mid):
    return f"From: a@example.org\r\nSubject: {mid}\r\nMessage-ID: <{mid}@three>\r\n\r\n{mid * 20}\r\n".encode()


class Actor(threading.Thread):
    """One of the three. `mine`: {Message-ID: (mailbox, flags)} of those that nobody else touches; None: deleted."""

    def __init__(self, name, seed):
        super().__init__(name=name, daemon=True)
        self.chance = random.Random(seed)
        self.mine = {}
        self.failed = None
        self.counts = {}

    def run(self):
        until = time.monotonic() + SECONDS
        try:
            while time.monotonic() < until:
                action = self.chance.choice([self.flag, self.flag, self.move, self.remove, self.look])
                if self.chance.random() < 0.5:
                    outcome = action(self.chance.choice(sorted(self.mine)), True)
                else:
                    outcome = action(f"all-{self.chance.randrange(30)}", False)
                key = f"{action.__name__} {outcome}"
                self.counts[key] = self.counts.get(key, 0) + 1
        except Exception as problem:  # pylint: disable=broad-except
            self.failed = problem

    def some_flags(self):
        return {flag for flag in FLAGS if self.chance.random() < 0.3}

    def other(self, box):
        return self.chance.choice([name for name in BOXES[:3] if name != box])


class Mounted(Actor):
    def __init__(self, name, seed, root):
        super().__init__(name, seed)
        self.root = root

    def find(self, mid, own):
        """Where it is listed: names v1 begins with its Subject."""
        boxes = [self.mine[mid][0]] if own else self.chance.sample(BOXES, len(BOXES))
        for box in boxes:
            folder = os.path.join(self.root, box)
            found = [name for name in listed(folder) if f"_{mid}." in name]
            if found:
                return box, os.path.join(folder, found[0])
        if own:
            raise AssertionError(f"{self.name}: {mid} is not in {boxes}")
        return None, None

    def attempt(self, own, call, *arguments):
        try:
            call(*arguments)
        except OSError as error:
            if own or error.errno not in LATE:
                raise
            return "late"
        return "done"

    def flag(self, mid, own):
        box, path = self.find(mid, own)
        if path is None:
            return "late"
        flags = self.some_flags()
        if flags:
            outcome = self.attempt(own, os.setxattr, path, "user.mailfs.flags", " ".join(sorted(flags)).encode())
        else:
            outcome = self.attempt(own, os.removexattr, path, "user.mailfs.flags")
        if own:
            self.mine[mid] = box, flags
        return outcome

    def move(self, mid, own):
        box, path = self.find(mid, own)
        if path is None:
            return "late"
        target = self.other(box)
        outcome = self.attempt(own, os.rename, path, os.path.join(self.root, target, os.path.basename(path)))
        if own:
            self.mine[mid] = target, self.mine[mid][1]
        return outcome

    def remove(self, mid, own):
        """To the Trash, and no further."""
        box, path = self.find(mid, own)
        if path is None or box == "Trash":
            return "late"
        outcome = self.attempt(own, os.unlink, path)
        if own:
            self.mine[mid] = "Trash", self.mine[mid][1]
        return outcome

    def look(self, mid, own):
        _, path = self.find(mid, own)
        if path is None:
            return "late"
        return self.attempt(own, flags_of, path)


class Phone(Actor):
    def __init__(self, name, seed, server):
        super().__init__(name, seed)
        self.server = server
        self.line = server.client()
        self.serial = 0

    def uid(self, box, mid):
        kind, _ = self.line.select(box)
        assert kind == "OK", box
        found = self.line.uid("SEARCH", "HEADER", "Message-ID", f"<{mid}@three>")[1][0].split()
        return found[0].decode() if found else None

    def find(self, mid, own):
        for box in [self.mine[mid][0]] if own else self.chance.sample(BOXES, len(BOXES)):
            uid = self.uid(box, mid)
            if uid:
                return box, uid
        assert not own, f"the phone's {mid} is not in {self.mine[mid]}"
        return None, None

    def uids(self, own, *command):
        kind, answer = self.line.uid(*command)
        assert kind == "OK" or not own and b"no longer exist" in answer[0], (command, answer)
        return "done" if kind == "OK" else "late"

    def flag(self, mid, own):
        box, uid = self.find(mid, own)
        if uid is None:
            return "late"
        flags = self.some_flags()
        outcome = self.uids(own, "STORE", uid, "FLAGS.SILENT", f"({' '.join(sorted(flags))})")
        if own:
            self.mine[mid] = box, flags
        return outcome

    def move(self, mid, own):
        box, uid = self.find(mid, own)
        if uid is None:
            return "late"
        target = self.other(box)
        outcome = self.uids(own, "MOVE", uid, target)
        if own:
            self.mine[mid] = target, self.mine[mid][1]
        return outcome

    def remove(self, mid, own):
        """For good, and another instead."""
        box, uid = self.find(mid, own)
        if not own or uid is None:
            return "late"
        self.uids(own, "STORE", uid, "+FLAGS.SILENT", "(\\Deleted)")
        self.uids(own, "EXPUNGE", uid)
        del self.mine[mid]
        self.serial += 1
        new = f"phone-new-{self.serial}"
        append(self.server, box, letter(new), "(\\Flagged)", samples.START + self.serial)
        self.mine[new] = box, {"\\Flagged"}
        return "done"

    def look(self, mid, own):
        self.line.noop()
        return "done"


def in_server(server):
    """{Message-ID: [(mailbox, UID, flags)]}"""
    found = {}
    for box in BOXES:
        for uid, message in fetch_mailbox(server, box).items():
            mid = re.search(rb"Message-ID: <(.*)@three>", message.data).group(1).decode()
            found.setdefault(mid, []).append((box, uid, message.flags))
    return found


def differences(root, server):
    """What the tree shows otherwise than the server holds it."""
    found = []
    for box in BOXES:
        folder, held = os.path.join(root, box), fetch_mailbox(server, box)
        shown = {}
        for name in listed(folder):
            with contextlib.suppress(FileNotFoundError):
                shown[uid_of(os.path.join(folder, name))] = name, flags_of(os.path.join(folder, name))
        for uid in sorted(set(shown) | set(held)):
            want = held[uid].flags if uid in held else None
            name, flags = shown.get(uid, (None, None))
            if flags != want:
                found.append(f"{root[-20:]}/{box}: UID {uid} ({name}): {flags}, the server has {want}")
    return found


@test("two mounts and a phone at once: both trees become what the server holds, nothing is lost, undone or touched unasked")
def _():
    print(f"# seed {SEED}")
    with Dovecot() as server, Place() as place, Place() as second:
        groups = ["all"] * 30 + ["one"] * 8 + ["two"] * 8 + ["phone"] * 8 + ["nobody"] * 8
        mids = [f"{group}-{groups[:number].count(group)}" for number, group in enumerate(groups)]
        server.fill(samples.Message(("Bulk",), letter(mid), "", (), samples.START + number) for number, mid in enumerate(mids))
        for box in BOXES:
            server.folder((box,))
        server.start()
        before = in_server(server)
        with place.mount(server, "delete-limit=0") as one, second.mount(server, "delete-limit=0") as two:
            actors = [Mounted("one", SEED, one), Mounted("two", SEED + 1, two), Phone("phone", SEED + 2, server)]
            for actor in actors:
                actor.mine = {mid: ("Bulk", set()) for mid in mids if mid.startswith(actor.name + "-")}
            for actor in actors:
                actor.start()
            for actor in actors:
                actor.join(SECONDS + 60)
                print(f"# {actor.name}: {actor.counts}")
                assert not actor.is_alive(), f"{actor.name} hangs"
                if actor.failed:
                    raise actor.failed
            for root in (one, two):
                for box in BOXES:
                    fd = os.open(os.path.join(root, box), os.O_RDONLY)
                    # What the other one was faster with is told here.
                    with contextlib.suppress(OSError):
                        os.fsync(fd)
                    os.close(fd)
            assert wait_for(lambda: not differences(one, server) + differences(two, server), 15, 0.2), \
                differences(one, server) + differences(two, server)
            for root in (one, two):
                assert len(processes(root)) == 1, root
                for box in BOXES:
                    compare_folder(os.path.join(root, box), fetch_mailbox(server, box))
        after = in_server(server)
        for actor in actors:
            for mid, (box, flags) in actor.mine.items():
                assert [(place, held) for place, _, held in after.get(mid, [])] == [(box, flags)], (mid, box, flags, after.get(mid))
        for mid in mids:
            if mid.startswith("nobody-"):
                assert after[mid] == before[mid], (mid, before[mid], after[mid])
            assert mid.startswith("phone-") or mid in after, f"{mid} is lost"
        assert set(after) <= set(mids) | set(actors[2].mine), set(after) - set(mids)


if __name__ == "__main__":
    main()
