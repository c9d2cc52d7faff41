# SPDX-License-Identifier: MIT
"""A seeded generator of what people, programs and other clients do to an account, and what a Model is told of it.

A world (worlds.py) has `root`, `shell` (what is done through the mount), `foreign` (another client), settle(),
snapshot() and tree(). Steps chooses, does, and tells the model; check() compares.
"""
import email.utils
import errno
import os
import random
import re
import time

from model import DELETED, Copy, digest_of, v1_name

FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "work", "$Label1"]
FOLDERS = ["Work", "Lists", "Größe", "日本", "a b", "100%", "Old", "x&y"]
# What says that a line or the program went, not that the operation was refused.
CUT_OFF = {errno.ENOTCONN, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EIO, errno.EINTR,
           errno.ENODEV, errno.ECONNRESET}
DEAD = {errno.ENOTCONN, errno.ENODEV}
DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
START = 1_767_225_600


def seed_of(usual):
    """MODEL_SEED, which may be "random"."""
    seed = os.environ.get("MODEL_SEED") or usual
    return random.SystemRandom().randrange(10 ** 6) if seed == "random" else int(seed)


class Complaint(AssertionError):
    """What the model and the account do not agree on, with what led there."""


class Steps:
    """
    faulty    lines are cut and programs killed: what fails in their way may have happened or not
    plain     only names that names v1 gives, so that they are known whatever an index forgets
    """

    def __init__(self, world, model, seed, faulty=False, plain=False, weights=None):
        self.world, self.model, self.seed = world, model, seed
        self.shell, self.foreign = world.shell, world.foreign
        self.random = random.Random(seed)
        self.faulty, self.plain = faulty, plain
        self.serial = 0
        self.history = []
        self.dead = False  # a call has found no program behind the mount
        self.counts = {}
        self.operations = []
        for name in dir(self):
            if name.startswith("op_"):
                weight = (weights or {}).get(name[3:], getattr(getattr(self, name), "weight", 1))
                self.operations += [(getattr(self, name))] * weight

    # The frame

    def run(self, steps, every=100):
        for number in range(1, steps + 1):
            self.step()
            if number % every == 0:
                self.check()
        self.check()

    def step(self):
        operation = self.random.choice(self.operations)
        for _ in range(20):
            done = operation()
            if done is not None:
                break
            operation = self.random.choice(self.operations)
        name = operation.__name__[3:]
        self.counts[name] = self.counts.get(name, 0) + 1

    def note(self, text, outcome=DONE):
        self.history.append(f"{len(self.history)}: {text}" + ("" if outcome == DONE else f" ({outcome})"))
        return outcome

    def complain(self, complaints):
        mids = set(re.findall(r"<[^<>]+@model\.example>", "\n".join(complaints)))
        about = [line for line in self.history if any(mid in line for mid in mids) or "mkdir" in line or "mv" in line.split()[1]
                 and "<" not in line]
        raise Complaint("\n".join([f"seed {self.seed}, after {len(self.history)} steps:", *complaints[:20],
                                   "what was done to these, and to mailboxes:", *about[-60:], "what was done last:",
                                   *self.history[-20:]]))

    def settle(self, deadline):
        while True:
            try:
                return self.world.settle(self.model)
            except OSError as error:
                if not self.faulty or time.monotonic() > deadline:
                    self.complain([f"fsync of a directory: {error}"])
            time.sleep(0.1)

    def check(self, fresh=False):
        """Everything is on the server; the server, and the mount, hold what the model says."""
        deadline = time.monotonic() + self.world.patience
        self.settle(deadline)
        while True:
            snapshot = self.world.snapshot()
            complaints = self.model.compare_server(snapshot)
            if not complaints:
                complaints = self.model.compare_tree(self.world.tree(), snapshot, fresh)
            elif not self.faulty:
                break  # what is settled needs no time
            if not complaints or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if complaints:
            self.complain(complaints)

    def attempt(self, text, call, *arguments, may=()):
        """How it ended. `may`: what it may be refused with, changing nothing."""
        try:
            call(*arguments)
        except OSError as error:
            if error.errno in may:
                return self.note(f"{text}: {os.strerror(error.errno)}", REFUSED)
            if self.faulty and error.errno in CUT_OFF:
                # Once it is dead nothing more can happen.
                outcome = REFUSED if self.dead else UNKNOWN
                self.dead = self.dead or error.errno in DEAD
                return self.note(f"{text}: {os.strerror(error.errno)}", outcome)
            self.complain([f"{text}: {error}"])
        return self.note(text)

    # Choosing

    def path(self, mailbox, name=None):
        parts = [part.replace("%", "%25") for part in mailbox.split("/")]
        return os.path.join(self.world.root, *parts, *([name] if name else []))

    def usable(self, where=lambda _: True):
        """Copies that are certain, whose names are known, and that nobody else has touched."""
        return [copy for copy in self.model.copies if copy.certain and copy.name and not copy.stale and not copy.shadow
                and not copy.theirs and DELETED not in copy.flags and not self.is_undecided(copy.mailbox) and where(copy)]

    def some(self, copies):
        return self.random.choice(copies) if copies else None

    def some_mailbox(self, but=None):
        choice = [path for path in sorted(self.model.mailboxes) if path != but and not self.is_undecided(path)]
        return self.random.choice(choice)

    def is_undecided(self, path):
        return any(path in pair or any(one and path.startswith(one + "/") for one in pair) for pair in self.model.undecided)

    def is_free(self, mailbox, name):
        return not self.model.called(mailbox, name) and (mailbox, name) not in self.model.ghosts

    def some_flags(self):
        return {flag for flag in FLAGS if self.random.random() < 0.25}

    def letter(self, like=None):
        """A message with CRLF line ends; `like`: another body under the same header."""
        chance = self.random
        if like is not None:
            header = like.data.split(b"\r\n\r\n", 1)[0]
        else:
            self.serial += 1
            people = ["alice@example.org", "Bob <bob@example.com>", "=?utf-8?q?Zo=C3=AB?= <zoe@example.net>"]
            subject = chance.choice(["Invoice {}", "Re: Lunch? {}", "Gr=?utf-8?q?=C3=BC?=e {}", "=?utf-8?b?5Lya6K2w?= {}"])
            header = (f"Message-ID: <m{self.serial}.{self.seed}@model.example>\r\nFrom: {chance.choice(people)}\r\n"
                      f"Date: {email.utils.formatdate(START + self.serial * 60)}\r\nTo: list@example.org\r\n"
                      f"Subject: {subject.format(self.serial)}").encode()
        lines = [b".dot", b"From the start", b"", b"\xc3\xa9t\xc3\xa9", b"x" * chance.randrange(1, 900)]
        count = chance.randrange(1, 12) if chance.random() < 0.97 else chance.randrange(200, 900)
        body = b"\r\n".join(chance.choice(lines) for _ in range(count)) + b"\r\n" + str(chance.random()).encode() + b"\r\n"
        return header + b"\r\n\r\n" + body

    def some_name(self, data, date):
        if self.plain or self.random.random() < 0.5:
            return v1_name(data, date)
        return self.random.choice(["note-{}.eml", "Ünïcode {}.eml", "a b {}.eml", "{}b.eml"]).format(self.random.randrange(10 ** 6))

    # Writing

    def wrote(self, text, outcome, copy):
        if outcome == REFUSED:
            return
        if outcome == UNKNOWN:
            copy.places.append(None)
            copy.also.add(copy.name)
            self.model.unsent.add(copy.name)
            copy.name = None
        self.model.add(copy).fresh = True

    def new_copy(self, mailbox, data, dated, flags=(), name=None):
        date = START + self.random.randrange(10 ** 7)
        name = name or self.some_name(data, date)
        now = int(time.time())
        dates = (date, date) if dated else (now, now + 60)
        return date, Copy(data, mailbox, flags, dates, name)

    def op_write(self):
        """python: a new file, its flags and its time set before it is closed, or not."""
        mailbox, data = self.some_mailbox(), self.letter()
        dated = self.plain or self.random.random() < 0.5
        flags = self.some_flags() if self.random.random() < 0.5 else None
        date, copy = self.new_copy(mailbox, data, dated, flags or ())
        if not self.is_free(mailbox, copy.name):
            return None
        bytes_written = data.replace(b"\r\n", b"\n") if self.random.random() < 0.4 else data
        outcome = self.attempt(f"write {mailbox}/{copy.name} ({copy.mid})", self.shell.write, self.path(mailbox, copy.name),
                               bytes_written, date if dated else None, flags)
        self.wrote("write", outcome, copy)
        return outcome
    op_write.weight = 6

    def op_write_and_rename(self):
        """As rsync does: a temporary name, then the real one, perhaps that of a message."""
        over = self.some(self.usable()) if self.random.random() < 0.3 else None
        mailbox = over.mailbox if over else self.some_mailbox()
        data = self.letter(over)
        if over:
            date, copy = over.dates[0], Copy(data, mailbox, (), over.dates, over.name)
        else:
            date, copy = self.new_copy(mailbox, data, True)
            if not self.is_free(mailbox, copy.name):
                return None
        outcome = self.attempt(f"write, rename to {mailbox}/{copy.name} ({copy.mid}{', over another' if over else ''})",
                               self.shell.write_and_rename, self.path(mailbox, "." + copy.name + ".Xq3sKp"),
                               self.path(mailbox, copy.name), data, date)
        if outcome == UNKNOWN:
            self.model.unsent.add("." + copy.name + ".Xq3sKp")
        self.wrote("rename", outcome, copy)
        if over and outcome != REFUSED:
            self.model.replace(over, outcome == UNKNOWN)
        return outcome
    op_write_and_rename.weight = 4

    def op_tool(self):
        """cp, cp -a, mv, rsync -a, cat: from outside."""
        if not self.world.tools:
            return None
        tool = self.random.choice(["cp", "cp -p", "mv", "rsync", "cat", "tar"])
        mailbox, data = self.some_mailbox(), self.letter()
        dated = tool not in ("cp", "cat")
        date, copy = self.new_copy(mailbox, data, dated)
        if not self.is_free(mailbox, copy.name):
            return None
        outcome = self.attempt(f"{tool} into {mailbox}/{copy.name} ({copy.mid})", self.shell.tool, tool,
                               self.path(mailbox, copy.name), data, date)
        self.wrote(tool, outcome, copy)
        return outcome
    op_tool.weight = 2

    def op_deliver(self):
        """Maildir delivery: tmp, then new or cur."""
        if not self.world.tools or self.plain:
            return None
        mailbox, data = self.some_mailbox(), self.letter()
        flags = self.random.choice([set(), {"\\Seen"}, {"\\Seen", "\\Flagged"}])
        now = int(time.time())
        copy = Copy(data, mailbox, flags, (now, now + 60), None)
        outcome = self.attempt(f"deliver to {mailbox} {sorted(flags)} ({copy.mid})", self.shell.deliver,
                               self.path(".maildir/" + mailbox), data, flags, f"{now}.M{self.serial}P1.host")
        copy.also.add(f"{now}.M{self.serial}P1.host.eml")
        self.wrote("deliver", outcome, copy)
        return outcome
    op_deliver.weight = 2

    def op_save_draft(self):
        """An editor saves a draft: the new one takes the place of the old."""
        old = self.some(self.usable(lambda copy: copy.mailbox == "Drafts"))
        if old is None or self.plain:
            return None
        data = self.letter()
        now = int(time.time())
        copy = Copy(data, "Drafts", (), (min(old.dates[0], now), now + 60), old.name)
        copy.doubtful = set(old.flags)
        outcome = self.attempt(f"save Drafts/{old.name} ({old.mid} becomes {copy.mid})", self.shell.write,
                               self.path("Drafts", old.name), data, None, None)
        self.wrote("save", outcome, copy)
        self.model.replace(old, outcome == UNKNOWN)
        return outcome

    # Moving, copying, removing

    def target_of(self, copy):
        mailbox = self.some_mailbox(but=copy.mailbox)
        return None if self.plain and any(other.mid == copy.mid for other in self.model.perhaps_at(mailbox)) else mailbox

    def op_move(self):
        """To another mailbox, under its name or another, perhaps one that is taken."""
        copy = self.some(self.usable())
        target = self.target_of(copy) if copy else None
        if target is None:
            return None
        name = copy.name if self.plain or self.random.random() < 0.7 else self.some_name(copy.data, copy.dates[0])
        over = self.some(self.usable(lambda other: other.mailbox == target)) if self.random.random() < 0.15 else None
        if over and not self.plain:
            name = over.name
        elif not self.is_free(target, name):
            return None
        else:
            over = None
        text = f"mv {copy.mailbox}/{copy.name} {target}/{name} ({copy.mid}{f', over {over.mid}' if over else ''})"
        outcome = self.attempt(text, self.shell.rename, self.path(copy.mailbox, copy.name), self.path(target, name))
        if outcome != REFUSED:
            if over and outcome == DONE and not copy.fresh:
                self.model.remove(over)
            elif over:
                # What takes the place of another with its arrival on the server removes that for good.
                self.model.replace(over, outcome == UNKNOWN)
            self.model.move(copy, target, name, outcome == UNKNOWN)
        return outcome
    op_move.weight = 8

    def op_move_many(self):
        """mv *.eml: a run of moves."""
        source, target = self.some_mailbox(), self.some_mailbox()
        copies = self.usable(lambda copy: copy.mailbox == source)
        if source == target or len(copies) < 4:
            return None
        for copy in copies[:self.random.randrange(4, 20)]:
            if not self.is_free(target, copy.name) or any(other.mid == copy.mid for other in self.model.perhaps_at(target)):
                continue
            outcome = self.attempt(f"mv {source}/{copy.name} {target}/ ({copy.mid}, one of many)", self.shell.rename,
                                   self.path(source, copy.name), self.path(target, copy.name))
            if outcome != REFUSED:
                self.model.move(copy, target, copy.name, outcome == UNKNOWN)
        return DONE

    def op_rename(self):
        """Another name in its mailbox."""
        copy = self.some(self.usable())
        if copy is None or self.plain:
            return None
        name = self.some_name(copy.data, copy.dates[0])
        if not self.is_free(copy.mailbox, name):
            return None
        outcome = self.attempt(f"mv {copy.mailbox}/{copy.name} {name} ({copy.mid})", self.shell.rename,
                               self.path(copy.mailbox, copy.name), self.path(copy.mailbox, name))
        if outcome != REFUSED:
            self.model.move(copy, copy.mailbox, name, outcome == UNKNOWN)
        return outcome
    op_rename.weight = 2

    def op_copy(self):
        """cp inside the mount: the server copies, flags and date too."""
        copy = self.some(self.usable())
        target = self.target_of(copy) if copy else None
        if target is None:
            return None
        name = copy.name if self.plain or self.random.random() < 0.5 else self.some_name(copy.data, copy.dates[0])
        if not self.is_free(target, name):
            return None
        if copy.fresh and self.random.random() < 0.5 and not self.faulty:
            self.settle(0)
        made = Copy(copy.data, target, copy.flags, copy.dates, name)
        if copy.fresh:
            # Perhaps not on the server yet: then this is a new file like any other.
            made.dates = (min(copy.dates[0], int(time.time())), max(copy.dates[1], int(time.time()) + 60))
            made.doubtful = set(copy.flags)
        outcome = self.attempt(f"cp {copy.mailbox}/{copy.name} {target}/{name} ({copy.mid})", self.shell.copy,
                               self.path(copy.mailbox, copy.name), self.path(target, name))
        self.wrote("cp", outcome, made)
        return outcome
    op_copy.weight = 4

    def op_remove(self):
        copy = self.some(self.usable())
        if copy is None:
            return None
        outcome = self.attempt(f"rm {copy.mailbox}/{copy.name} ({copy.mid})", self.shell.unlink,
                               self.path(copy.mailbox, copy.name))
        if outcome != REFUSED:
            self.model.remove(copy, outcome == UNKNOWN)
        return outcome
    op_remove.weight = 5

    def op_remove_folder(self):
        """rm -r of a mailbox without others in it."""
        mailbox = self.some_mailbox()
        inside = self.model.perhaps_at(mailbox)
        usable = self.usable(lambda copy: copy.mailbox == mailbox)
        if not self.is_ours(mailbox) or len(inside) != len(usable) or len(inside) > 15 or self.has_children(mailbox):
            return None
        for copy in usable:
            outcome = self.attempt(f"rm -r: {mailbox}/{copy.name} ({copy.mid})", self.shell.unlink,
                                   self.path(mailbox, copy.name))
            if outcome != REFUSED:
                self.model.remove(copy, outcome == UNKNOWN)
            if outcome != DONE:
                return outcome
        return self.remove_mailbox(mailbox)

    # Flags

    def op_flag(self):
        copy = self.some(self.usable())
        if copy is None:
            return None
        flags = self.some_flags()
        outcome = self.attempt(f"setfattr {copy.mailbox}/{copy.name} {sorted(flags)} ({copy.mid})", self.shell.set_flags,
                               self.path(copy.mailbox, copy.name), flags)
        if outcome != REFUSED:
            for other in self.model.copies:
                # A copy of it that the server is still to make is made of what it is by then.
                if other is not copy and other.mid == copy.mid and other.fresh:
                    other.doubtful |= copy.flags ^ flags
            # Of a file that waits it is kept with the next that becomes durable, within a second.
            self.model.flag(copy, flags, outcome == UNKNOWN or (self.faulty and copy.fresh))
        return outcome
    op_flag.weight = 5

    # Folders

    def is_ours(self, mailbox):
        return mailbox.split("/")[-1].rstrip("0123456789-") in FOLDERS and not self.is_undecided(mailbox)

    def has_children(self, mailbox):
        perhaps = {path for pair in self.model.undecided for path in pair if path}
        return any(path.startswith(mailbox + "/") for path in self.model.mailboxes | perhaps)

    def new_mailbox(self):
        name = self.random.choice(FOLDERS)
        if self.random.random() < 0.4:
            name += f"-{self.random.randrange(100)}"
        parents = [path for path in sorted(self.model.mailboxes) if self.is_ours(path) and path.count("/") < 2]
        path = f"{self.random.choice(parents)}/{name}" if parents and self.random.random() < 0.4 else name
        return None if path in self.model.mailboxes or self.is_undecided(path) else path

    def op_mkdir(self):
        path = self.new_mailbox()
        if path is None or len(self.model.mailboxes) > 14:
            return None
        outcome = self.attempt(f"mkdir {path}", self.shell.mkdir, self.path(path))
        if outcome == UNKNOWN:
            self.model.undecided.append((None, path))
        elif outcome == DONE:
            self.model.mailboxes.add(path)
        return outcome
    op_mkdir.weight = 2

    def op_rmdir(self):
        mailbox = self.some_mailbox()
        if not self.is_ours(mailbox):
            return None
        if self.has_children(mailbox) or self.model.at(mailbox):
            # Copies of which nobody knows where they are may leave it empty; these do not.
            if self.model.undecided or not self.has_children(mailbox) and not any(not copy.shadow and not copy.stale for copy in self.model.at(mailbox)):
                return None
            return self.attempt(f"rmdir {mailbox}, which is not empty", self.refuse, self.shell.rmdir, self.path(mailbox),
                                may=(errno.ENOTEMPTY,))
        if self.model.perhaps_at(mailbox):
            return None
        return self.remove_mailbox(mailbox)

    def remove_mailbox(self, mailbox):
        if any(copy.shadow for copy in self.model.perhaps_at(mailbox)):
            return DONE
        # What another client has just taken away may still be listed, and a file whose writer was cut off lies there.
        may = (errno.ENOTEMPTY,) if self.model.unsent or any(ghost[0] == mailbox for ghost in self.model.ghosts) else ()
        outcome = self.attempt(f"rmdir {mailbox}", self.shell.rmdir, self.path(mailbox), may=may)
        if outcome == UNKNOWN:
            self.model.undecided.append((mailbox, None))
        elif outcome == DONE:
            self.model.mailboxes.discard(mailbox)
        return outcome

    def op_move_folder(self):
        old, new = self.some_mailbox(), self.new_mailbox()
        if not self.is_ours(old) or new is None or new.startswith(old + "/") or self.is_undecided(old):
            return None
        # Not while a file in it is on its way.
        outcome = self.attempt(f"mv {old} {new}", self.shell.rename, self.path(old), self.path(new), may=(errno.EBUSY,))
        if outcome == UNKNOWN:
            self.model.undecided.append((old, new))
        elif outcome == DONE:
            self.model.rename_mailbox(old, new)
        return outcome

    # What must be refused, and change nothing

    def refuse(self, call, *arguments):
        call(*arguments)
        self.complain([f"{call.__name__} {arguments} was not refused"])

    def op_refused(self):
        copy = self.some(self.usable(lambda copy: copy.mailbox != "Drafts" and not copy.fresh))
        if copy is None or not self.world.tools:
            return None
        path = self.path(copy.mailbox, copy.name)
        folder = self.path(self.some_mailbox())
        text, may, call, *arguments = self.random.choice([
            ("write to a message", (errno.EPERM,), open, path, "r+b"),
            ("overwrite a message", (errno.EPERM,), open, path, "wb"),
            ("truncate a message", (errno.EPERM,), os.truncate, path, 3),
            ("ln", (errno.EPERM,), os.link, path, os.path.join(folder, "link.eml")),
            ("write what is no message", (errno.EINVAL,), self.shell.write, os.path.join(folder, "no.eml"), b"\0\1\2", None, None),
            ("mkdir what is there", (errno.EEXIST,), self.shell.mkdir, folder),
            ("rmdir INBOX", (errno.EPERM, errno.ENOTEMPTY), self.shell.rmdir, self.path("INBOX")),
            ("mkdir .Trash-1000", (errno.EPERM, errno.EACCES), self.shell.mkdir, os.path.join(self.world.root, ".Trash-1000")),
            ("setfattr of no flag", (errno.EINVAL,), self.shell.set_flags, path, {"(bad)"}),
            ("rm what is not there", (errno.ENOENT,), self.shell.unlink, os.path.join(folder, "nothing.eml")),
            ("mv what is not there", (errno.ENOENT,), self.shell.rename, os.path.join(folder, "nothing.eml"), path + ".eml"),
        ])
        outcome = self.attempt(f"{text}: {arguments[0]}", self.refuse, call, *arguments, may=may)
        if text == "write what is no message":
            # It stays for its owner to see why; he has seen.
            self.attempt("rm it", self.shell.unlink, arguments[0], may=(errno.ENOENT,))
        return outcome

    def op_look(self):
        mailbox = self.some_mailbox()
        self.attempt(f"ls -l {mailbox}", self.shell.look, self.path(mailbox))
        return DONE
    op_look.weight = 2

    def op_read(self):
        """Straight after whatever was done last: the file is there, with its bytes."""
        copy = self.some(self.usable())
        if copy is None:
            return None
        found = []
        outcome = self.attempt(f"cat {copy.mailbox}/{copy.name}",
                               lambda path: found.append(self.shell.read(path)), self.path(copy.mailbox, copy.name))
        if outcome == DONE and digest_of(found[0]) != copy.digest:
            self.complain([f"{copy.mailbox}/{copy.name} holds {len(found[0])} octets, not those of {copy}"])
        return outcome
    op_read.weight = 4

    # Another client

    def settle_for(self, copy):
        """What of the mount is on its way to this message's mailbox arrives first: two that move one message at the same
        moment can each get a copy, on many servers."""
        if any(other.mid == copy.mid and other.touched for other in self.model.copies):
            self.settle(0)

    def some_for_them(self, where=lambda _: True):
        mine = (lambda copy: copy.theirs) if self.faulty else (lambda copy: not copy.shadow)
        copy = self.some([copy for copy in self.model.copies if copy.certain and mine(copy) and not copy.lasting and where(copy)
                          and not self.is_undecided(copy.mailbox) and not self.is_twin(copy)])
        if copy is not None and not self.faulty:
            self.settle_for(copy)
        return copy

    def they(self, call, *arguments):
        try:
            call(*arguments)
        except LookupError as error:
            self.complain([f"another client: {error.args[0]}", *self.model.compare_server(self.world.snapshot())])

    def theirs_done(self, text, copy, mailbox, ghost=True):
        if ghost and copy.name:
            self.model.ghosts.append((mailbox, copy.name))
        copy.stale, copy.touched = True, False
        return self.note(f"they {text} ({copy.mid})")

    def op_they_deliver(self):
        mailbox, data, flags = self.some_mailbox(), self.letter(), self.some_flags()
        if self.faulty and self.is_ours(mailbox):
            mailbox = "INBOX"
        date = START + self.random.randrange(10 ** 7)
        self.they(self.foreign.deliver, mailbox, data, flags, date)
        copy = self.model.add(Copy(data, mailbox, flags, (date, date)))
        copy.theirs, copy.touched = self.faulty, False
        return self.theirs_done(f"deliver to {mailbox}", copy, mailbox)
    op_they_deliver.weight = 4

    def op_they_flag(self):
        copy = self.some_for_them()
        if copy is None:
            return None
        flags = self.some_flags() | (copy.flags & {DELETED})
        self.they(self.foreign.flag, copy.mailbox, copy.mid, copy.digest, flags)
        self.model.flag(copy, flags)
        return self.theirs_done(f"flag {sorted(flags)} in {copy.mailbox}", copy, copy.mailbox, ghost=False)
    op_they_flag.weight = 2

    def op_they_mark(self):
        """\\Deleted, which only they may expunge."""
        if sum(1 for copy in self.model.copies if DELETED in copy.flags and not copy.shadow) > 12:
            return None
        copy = self.some_for_them(lambda copy: DELETED not in copy.flags)
        if copy is None:
            return None
        self.they(self.foreign.flag, copy.mailbox, copy.mid, copy.digest, copy.flags | {DELETED})
        self.model.flag(copy, copy.flags | {DELETED})
        return self.theirs_done(f"mark in {copy.mailbox}", copy, copy.mailbox, ghost=False)
    op_they_mark.weight = 2

    def is_twin(self, copy):
        """Two of it are in one mailbox: the other client would touch both."""
        return sum(1 for other in self.model.perhaps_at(copy.mailbox) if other.digest == copy.digest) > 1

    def op_they_unmark(self):
        copy = self.some_for_them(lambda copy: DELETED in copy.flags)
        if copy is None:
            return None
        self.they(self.foreign.flag, copy.mailbox, copy.mid, copy.digest, copy.flags - {DELETED})
        self.model.flag(copy, copy.flags - {DELETED})
        return self.theirs_done(f"unmark in {copy.mailbox}", copy, copy.mailbox, ghost=False)

    def op_they_move(self):
        copy = self.some_for_them(lambda copy: DELETED not in copy.flags)
        if copy is None:
            return None
        target, source = self.some_mailbox(but=copy.mailbox), copy.mailbox
        if self.faulty and self.is_ours(target):
            return None
        self.they(self.foreign.move, source, copy.mid, copy.digest, target)
        self.theirs_done(f"move {source} to {target}", copy, source)
        copy.places, copy.name, copy.also = [target], None, set()
        return DONE

    def op_they_expunge(self):
        copy = self.some_for_them()
        if copy is None:
            return None
        self.they(self.foreign.expunge, copy.mailbox, copy.mid, copy.digest)
        self.model.copies.remove(copy)
        return self.theirs_done(f"expunge in {copy.mailbox}", copy, copy.mailbox)

    def op_ghost(self):
        """What another client has just taken away is changed through the mount: nothing else may be hit."""
        ghost = self.some([pair for pair in self.model.ghosts if pair[0] in self.model.mailboxes])
        if ghost is None or self.faulty or self.model.called(*ghost):
            return None
        mailbox, name = ghost
        target = f"ghost-{len(self.history)}.eml"
        text, call, *arguments = self.random.choice([
            ("rm", self.shell.unlink, self.path(mailbox, name)),
            ("mv", self.shell.rename, self.path(mailbox, name), self.path(self.some_mailbox(but=mailbox), target)),
            ("setfattr", self.shell.set_flags, self.path(mailbox, name), {"\\Seen"}),
        ])
        self.world.has_ghosts = True
        return self.attempt(f"{text} {mailbox}/{name}, which is gone", call, *arguments, may=(errno.ENOENT, errno.ESTALE))
    op_ghost.weight = 2
