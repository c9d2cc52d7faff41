# SPDX-License-Identifier: MIT
"""A server without UIDPLUS and MOVE, and another client that marks its own messages \\Deleted and lets them lie: a thousand
short sequences of operations, chosen by a seed (MARKED_SEED), cost it none, and what we do is done."""
import os
import random
import re

from common import Dovecot, Place, fetch_mailbox, listed, main, samples, test

SEED = int(os.environ.get("MARKED_SEED") or 1)
SEQUENCES = 1000
REMOUNT_EVERY = 125
# In Always some are marked at any time; in Sometimes only now and then.
ALWAYS, SOMETIMES, TRASH = "Always", "Sometimes", "Trash"


def letter(mid):
    return f"From: a@example.org\r\nSubject: {mid}\r\nMessage-ID: <{mid}@marked>\r\n\r\n{mid}\r\n".encode()


def mid_of(message):
    return re.search(rb"Message-ID: <(.*)@marked>", message.data).group(1).decode()


class Theirs:
    """The other client: its messages, which nobody else may touch."""

    def __init__(self, server):
        self.line = server.client()
        self.selected = None
        self.marked = set()

    def select(self, box):
        if self.selected != box:
            # Not CLOSE, which expunges: another SELECT leaves it as it is.
            assert self.line.select(box)[0] == "OK"
            self.selected = box

    def uid(self, box, mid):
        self.select(box)
        self.line.noop()
        found = self.line.uid("SEARCH", "HEADER", "Message-ID", f"<{mid}@marked>")[1][0].split()
        assert len(found) == 1, f"{mid} of the other client: {found} in {box}"
        return found[0].decode()

    def mark(self, box, mid, marked):
        uid = self.uid(box, mid)
        assert self.line.uid("STORE", uid, ("+" if marked else "-") + "FLAGS.SILENT", "(\\Deleted)")[0] == "OK"
        (self.marked.add if marked else self.marked.discard)(mid)

    def check(self):
        """All that is marked is there; uid() says so."""
        for box in (ALWAYS, SOMETIMES):
            self.select(box)
            self.line.noop()
            there = len(self.line.uid("SEARCH", "SUBJECT", f"theirs-{box}-")[1][0].split())
            assert there == 6, f"{box}: {there} of the other client's six messages are left"


def sync(mount, box):
    """Nothing of ours is on its way any more."""
    fd = os.open(os.path.join(mount, box), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


class Ours:
    """What we do through the mount. `place`: file name → mailbox; None: it is gone."""

    def __init__(self, chance, names):
        self.chance = chance
        self.place = names
        self.mount = None

    def path(self, name, box=None):
        return os.path.join(self.mount, box or self.place[name], name)

    def some(self, where=None):
        return self.chance.choice([name for name, box in self.place.items() if box and (where is None or box == where)])

    def move(self, _):
        name = self.some()
        box = self.chance.choice([box for box in (ALWAYS, SOMETIMES, TRASH) if box != self.place[name]])
        os.rename(self.path(name), self.path(name, box))
        self.place[name] = box

    def remove(self, _):
        if sum(1 for box in self.place.values() if box) < 30:
            return
        name = self.some()
        os.unlink(self.path(name))
        self.place[name] = None if self.place[name] == TRASH else TRASH

    def flag(self, _):
        os.setxattr(self.path(self.some()), "user.mailfs.flags", self.chance.choice([b"\\Seen", b"\\Flagged", b"work"]))

    def look(self, _):
        listed(os.path.join(self.mount, self.chance.choice([ALWAYS, SOMETIMES, TRASH])))

    def theirs(self, other):
        # Between our search and our EXPUNGE nobody can be helped on such a server: what is under way ends first.
        sync(self.mount, SOMETIMES)
        mid = f"theirs-{SOMETIMES}-{self.chance.randrange(6)}"
        other.mark(SOMETIMES, mid, mid not in other.marked)


def bare_expunges(lines):
    """The mailboxes in which all that is marked was expunged, from the commands of all sessions in a row."""
    found, selected = [], None
    for line in lines:
        words = re.match(r"\S+ (?:SELECT|EXAMINE) \"?([^\" ]+)", line, re.I)
        if words:
            selected = words.group(1)
        elif re.match(r"\S+ (EXPUNGE|CLOSE)\s*$", line, re.I):
            found.append(selected)
    return found


@test(f"{SEQUENCES} sequences without UIDPLUS: no message that another client has marked is lost, and ours are where they belong")
def _():
    print(f"# seed {SEED}")
    chance = random.Random(SEED)
    with Dovecot(without=("UIDPLUS", "MOVE"), rawlog=True) as server, Place() as place:
        mids = [f"ours-{number}" for number in range(90)]
        server.fill(samples.Message(((ALWAYS, SOMETIMES)[number % 2],), letter(mid), "", (), samples.START + number)
                    for number, mid in enumerate(mids))
        for box in (ALWAYS, SOMETIMES):
            server.fill(samples.Message((box,), letter(f"theirs-{box}-{number}"), "", (), samples.START + 1000 + number)
                        for number in range(6))
        server.folder((TRASH,))
        server.start()
        other = Theirs(server)
        for number in range(3):
            other.mark(ALWAYS, f"theirs-{ALWAYS}-{number}", True)
        ours = Ours(chance, {})
        for part in range(SEQUENCES // REMOUNT_EVERY):
            with place.mount(server, "delete-limit=0", url=server.url(), tls=False) as ours.mount:
                if part == 0:
                    ours.place = {name: box for box in (ALWAYS, SOMETIMES) for name in listed(os.path.join(ours.mount, box))
                                  if "_ours-" in name}
                for _ in range(REMOUNT_EVERY):
                    for _ in range(chance.randrange(1, 4)):
                        chance.choice([ours.move, ours.move, ours.remove, ours.remove, ours.flag, ours.look, ours.theirs])(other)
                    other.check()
                for box in (ALWAYS, SOMETIMES, TRASH):
                    sync(ours.mount, box)
                    shown = {name for name in listed(os.path.join(ours.mount, box)) if "_ours-" in name}
                    wanted = {name for name, where in ours.place.items() if where == box}
                    assert shown == wanted, (box, "shown", shown - wanted, "not shown", wanted - shown)
        other.check()
        bare = bare_expunges(server.commands())
        print(f"# {len(bare)} times EXPUNGE, where nothing of theirs was marked")
        assert ALWAYS not in bare and bare, bare
        held = {box: fetch_mailbox(server, box).values() for box in (ALWAYS, SOMETIMES, TRASH)}
        for box, messages in held.items():
            left = sorted(mid_of(message) for message in messages if "\\Deleted" not in message.flags and b"ours-" in message.data)
            assert left == sorted(name.split("_")[1].split(".")[0] for name, where in ours.place.items() if where == box), box


if __name__ == "__main__":
    main()
