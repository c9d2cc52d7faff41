# SPDX-License-Identifier: MIT
"""Where Steps act: a mount and a Dovecot, and a plain directory that pretends to be both."""
import base64
import email.utils
import errno
import os
import re
import shutil
import subprocess
import time

from common import append, listed, mutf7, quoted, run_umount
from model import DELETED, Held, Shown, digest_of, is_numbered, mid_of, v1_name


def text_of(flags):
    return " ".join(sorted(flags))


def decoded(raw):
    """A raw mailbox name in Unicode."""
    def wide(match):
        text = match.group(1)
        return base64.b64decode(text.replace(",", "/") + "=" * (-len(text) % 4)).decode("utf-16-be") if text else "&"
    return re.sub(r"&([^-]*)-", wide, raw)


class Shell:
    """What is done through the mount, by system calls (quick) or by tools."""

    def __init__(self, scratch):
        self.scratch = scratch
        os.makedirs(scratch, exist_ok=True)

    def write(self, path, data, date, flags):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            half = len(data) // 2
            os.write(fd, data[:half])
            os.write(fd, data[half:])
            if flags is not None:
                os.setxattr(fd, "user.mailfs.flags", text_of(flags).encode())
            if date is not None:
                os.utime(fd, (date, date))
        except OSError:
            try:
                os.close(fd)
            except OSError:
                pass
            raise
        os.close(fd)

    def write_and_rename(self, temporary, path, data, date):
        self.write(temporary, data, None, None)
        os.utime(temporary, (date, date))
        os.chmod(temporary, 0o600)
        os.rename(temporary, path)

    def deliver(self, maildir, data, flags, name):
        temporary = os.path.join(maildir, "tmp", name)
        self.write(temporary, data, None, None)
        letters = "".join(sorted({"\\Seen": "S", "\\Flagged": "F"}[flag] for flag in flags))
        target = os.path.join(maildir, "cur", f"{name}:2,{letters}") if flags else os.path.join(maildir, "new", name)
        try:
            os.link(temporary, target)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            os.rename(temporary, target)
        else:
            os.unlink(temporary)

    def tool(self, tool, path, data, date):
        source = os.path.join(self.scratch, os.path.basename(path))
        with open(source, "wb") as file:
            file.write(data)
        os.utime(source, (date, date))
        if tool == "cat":
            command = ["sh", "-c", 'cat "$1" > "$2"', "sh", source, path]
        elif tool == "rsync":
            command = ["rsync", "-a", source, path]
        elif tool == "tar":
            command = ["sh", "-c", 'tar -C "$1" -c "./$2" | tar -C "$3" -xp --no-same-owner', "sh", self.scratch,
                       os.path.basename(path), os.path.dirname(path)]
        else:
            command = [*tool.split(), source, path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if os.path.exists(source):
            os.unlink(source)
        if done.returncode != 0:
            raise OSError(errno.EIO, f"{tool}: exit {done.returncode}: {done.stderr}")

    def copy(self, source, path):
        read = os.open(source, os.O_RDONLY)
        try:
            write = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                size = os.fstat(read).st_size
                copied = os.copy_file_range(read, write, size, 0, 0)
                if copied != size:
                    raise OSError(errno.EIO, f"copy_file_range: {copied} of {size}")
            finally:
                os.close(write)
        finally:
            os.close(read)

    def set_flags(self, path, flags):
        if flags:
            os.setxattr(path, "user.mailfs.flags", text_of(flags).encode())
        else:
            os.removexattr(path, "user.mailfs.flags")

    def look(self, path):
        for name in listed(path):
            try:
                os.stat(os.path.join(path, name))
            except FileNotFoundError:
                pass  # gone since

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)


class Foreign:
    """Another client of the account, by imaplib. It knows nothing but what the server says."""

    def __init__(self, server):
        self.server = server
        self.line = None
        self.selected = None

    def close(self):
        if self.line is not None:
            self.line.logout()
            self.line = None

    def select(self, mailbox):
        if self.line is None:
            self.line, self.selected = self.server.client(), None
        if self.selected != mailbox:
            # Not CLOSE: that would expunge.
            self.check(self.line.select(quoted(mutf7(mailbox))))
            self.selected = mailbox
        return self.line

    @staticmethod
    def check(answer):
        assert answer[0] == "OK", answer
        return answer[1]

    def uid(self, mailbox, mid, digest):
        line = self.select(mailbox)
        line.noop()
        uids = self.check(line.uid("SEARCH", "HEADER", "Message-ID", mid))[0].split()
        for uid in uids:
            if len(uids) == 1 or self.digest(uid.decode()) == digest:
                return uid.decode()
        raise LookupError(f"{mid} is not in {mailbox}")

    def digest(self, uid):
        # News of flags may come along.
        return digest_of(next(item for item in self.check(self.line.uid("FETCH", uid, "BODY.PEEK[]")) if isinstance(item, tuple))[1])

    def deliver(self, mailbox, data, flags, date):
        append(self.server, mutf7(mailbox), data, f"({text_of(flags)})", date)

    def flag(self, mailbox, mid, digest, flags):
        uid = self.uid(mailbox, mid, digest)
        self.check(self.line.uid("STORE", uid, "FLAGS.SILENT", f"({text_of(flags)})"))

    def move(self, mailbox, mid, digest, target):
        uid = self.uid(mailbox, mid, digest)
        self.check(self.line.uid("MOVE", uid, quoted(mutf7(target))))

    def expunge(self, mailbox, mid, digest):
        uid = self.uid(mailbox, mid, digest)
        self.check(self.line.uid("STORE", uid, "+FLAGS.SILENT", "(\\Deleted)"))
        self.check(self.line.uid("EXPUNGE", uid))


def held_of(words, data):
    words = words.decode("ascii", "replace")
    date = email.utils.mktime_tz(email.utils.parsedate_tz(re.search(r'INTERNALDATE "([^"]+)"', words).group(1)))
    flags = frozenset(re.search(r"FLAGS \(([^)]*)\)", words).group(1).split()) - {"\\Recent"}
    return int(re.search(r"UID (\d+)", words).group(1)), flags, date, data


class MailWorld:
    """A Dovecot and mailfs mounted on it. `tools`: programs of their own are run too. `patience`: how long the news of
    other clients, and what was cut off, may take, in seconds."""

    def __init__(self, server, place, tools=True, patience=10):
        self.server, self.place, self.tools, self.patience = server, place, tools, patience
        self.root = None
        self.shell = Shell(place.path("scratch"))
        self.foreign = Foreign(server)
        self.has_ghosts = False
        self.hollow = set()  # of mailboxes that hold no messages, as of the last snapshot
        self.bodies = {}  # (mailbox, UIDVALIDITY, UID) → (Message-ID, digest)
        self.line = None

    def close(self):
        self.foreign.close()
        if self.line is not None:
            self.line.logout()
            self.line = None

    def settle(self, model):
        """What was done is on the server: fsync of every directory."""
        for mailbox in sorted(model.mailboxes):
            path = os.path.join(self.root, *(part.replace("%", "%25") for part in mailbox.split("/")))
            try:
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # compare says so
            try:
                os.fsync(fd)
            except OSError as error:
                # It may be known only now that a message was gone that they had taken away.
                if not self.has_ghosts or error.errno not in (errno.ENOENT, errno.ESTALE, errno.EIO):
                    raise
            finally:
                os.close(fd)
        self.has_ghosts = False
        for copy in model.copies:
            copy.touched = copy.fresh = False

    def snapshot(self):
        """{mailbox: [Held]}, by another client."""
        if self.line is None:
            self.line = self.server.client()
        found, self.hollow = {}, set()
        for item in self.line.list()[1]:
            words, _, raw = item.decode().partition(' "/" ')
            raw = re.sub(r"\\(.)", r"\1", raw[1:-1]) if raw.startswith('"') else raw
            if "\\noselect" in words.lower():
                self.hollow.add(decoded(raw))
            else:
                found[decoded(raw)] = self.snapshot_of(raw)
        return found

    def snapshot_of(self, raw):
        line = self.line
        kind, answer = line.select(quoted(raw), readonly=True)
        assert kind == "OK", (raw, answer)
        validity = line.response("UIDVALIDITY")[1][0]
        if answer[0] == b"0":
            return []
        messages = {}
        for item in Foreign.check(line.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE)")):
            uid, flags, date, _ = held_of(item, None)
            messages[uid] = flags, date
        new = [uid for uid in messages if (raw, validity, uid) not in self.bodies]
        if new:
            for item in Foreign.check(line.uid("FETCH", ",".join(map(str, new)), "(UID BODY.PEEK[])")):
                if isinstance(item, tuple):
                    uid = int(re.search(rb"UID (\d+)", item[0]).group(1))
                    self.bodies[raw, validity, uid] = mid_of(item[1]), digest_of(item[1])
        return [Held(uid, *self.bodies[raw, validity, uid], *messages[uid]) for uid in sorted(messages)]

    def tree(self):
        """{mailbox: [Shown]}, read through the mount."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            mailbox = os.path.relpath(folder, self.root)
            if mailbox == ".":
                folders[:] = [name for name in folders if name != "Outbox"]
                continue
            mailbox = "/".join(part.replace("%2E", ".").replace("%25", "%") for part in mailbox.split(os.sep))
            shown = [one for one in (self.shown(os.path.join(folder, name), name) for name in files) if one]
            # What Dovecot leaves when somebody looks into a mailbox that it deletes.
            if shown or mailbox not in self.hollow:
                found[mailbox] = shown
        return found

    def shown(self, path, name):
        try:
            data = self.shell.read(path)
            status = os.stat(path)
            try:
                uid = int(os.getxattr(path, "user.mailfs.uid"))
                flags = frozenset(os.getxattr(path, "user.mailfs.flags").decode().split()) - {"\\Recent"}
            except OSError as error:
                if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                    raise
                uid, flags = None, frozenset()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            return None  # gone while it was looked at: the comparison comes again
        return Shown(name, uid, digest_of(data), status.st_size, len(data), int(status.st_mtime), flags)

    def unmount_dead(self):
        run_umount(self.root, lazy=True)


# A plain directory

class FakeShell(Shell):
    """Does to plain files what the mount does to messages. `fault`: what it gets wrong, from the third time on."""

    def __init__(self, world):
        super().__init__(os.path.join(world.top, "scratch"))
        self.world = world
        self.fault = None
        self.killed = None  # called before and after each change: may raise
        self.countdown = 3

    def wrong(self, fault):
        if fault != self.fault:
            return False
        self.countdown -= 1
        return self.countdown <= 0

    def around(self, change, *arguments):
        if self.killed:
            self.killed()
        change(*arguments)
        if self.killed:
            self.killed()

    def write(self, path, data, date, flags):
        self.around(self.do_write, path, data, date, flags)

    def do_write(self, path, data, date, flags):
        if os.path.exists(path):
            self.world.to_trash(path, for_good=True)
        whole = re.sub(rb"\r?\n", b"\r\n", data)
        if self.wrong("half"):
            whole = whole[:-1]
        if self.wrong("unwritten"):
            return
        if not self.wrong("flags of a new file"):
            self.world.put(path, whole, flags or (), date if date is not None else int(time.time()))
        else:
            self.world.put(path, whole, {"\\Seen", "\\Draft"}, date if date is not None else int(time.time()))

    def write_and_rename(self, temporary, path, data, date):
        self.around(self.do_write, path, data, date + self.wrong("date"), ())

    def copy(self, source, path):
        def change():
            shutil.copy2(source, path)
            if self.wrong("copied twice"):
                shutil.copy2(source, os.path.join(self.world.root, "INBOX", os.path.basename(path)[:-4] + "~2.eml"))
        self.around(change)

    def set_flags(self, path, flags):
        def change():
            if not self.wrong("flags"):
                os.setxattr(path, "user.mailfs.flags", text_of(flags).encode())
        self.around(change)

    def rename(self, source, path):
        self.around(self.do_rename, source, path)

    def do_rename(self, source, path):
        if os.path.isfile(path) and source != path:
            self.world.to_trash(path)
        if self.wrong("lost in a move"):
            os.unlink(source)
        elif self.wrong("left behind by a move"):
            shutil.copy2(source, path)
        elif self.wrong("another name") and os.path.isfile(source):
            os.rename(source, path[:-4] + "-other.eml")
        else:
            os.rename(source, path)

    def unlink(self, path):
        def change():
            self.world.to_trash(path, for_good=self.wrong("no trash"))
            if self.wrong("bare expunge"):
                self.world.expunge_all(os.path.dirname(path))
        self.around(change)

    def mkdir(self, path):
        self.around(os.mkdir, path)

    def rmdir(self, path):
        self.around(os.rmdir, path)


class FakeForeign:
    def __init__(self, world):
        self.world = world

    def find(self, mailbox, digest):
        folder = os.path.join(self.world.root, *mailbox.replace("%", "%25").split("/"))
        for name in listed(folder):
            if digest_of(self.world.shell.read(os.path.join(folder, name))) == digest:
                return os.path.join(folder, name)
        raise LookupError(f"{digest} is not in {mailbox}")

    def deliver(self, mailbox, data, flags, date):
        folder = os.path.join(self.world.root, *mailbox.replace("%", "%25").split("/"))
        self.world.put(self.world.free_name(folder, data, date), data, flags, date)

    def flag(self, mailbox, _mid, digest, flags):
        os.setxattr(self.find(mailbox, digest), "user.mailfs.flags", text_of(flags).encode())

    def move(self, mailbox, _mid, digest, target):
        path = self.find(mailbox, digest)
        folder = os.path.join(self.world.root, *target.replace("%", "%25").split("/"))
        os.rename(path, self.world.free_name(folder, self.world.shell.read(path), int(os.stat(path).st_mtime)))

    def expunge(self, mailbox, _mid, digest):
        os.unlink(self.find(mailbox, digest))


class FakeWorld:
    """Server and mount in one directory, to prove the model by. uid is the inode number."""
    tools = False
    has_ghosts = False
    patience = 0

    def __init__(self, top, mailboxes):
        self.top = top
        self.root = os.path.join(top, "root")
        for mailbox in mailboxes:
            os.makedirs(os.path.join(self.root, mailbox))
        self.shell = FakeShell(self)
        self.foreign = FakeForeign(self)

    def put(self, path, data, flags, date):
        with open(path + ".new", "wb") as file:
            file.write(data)
        os.setxattr(path + ".new", "user.mailfs.flags", text_of(flags).encode())
        os.utime(path + ".new", (date, date))
        os.rename(path + ".new", path)

    def free_name(self, folder, data, date):
        base, number = v1_name(data, date), 2
        name = base
        while os.path.exists(os.path.join(folder, name)):
            name, number = f"{base[:-4]}~{number}.eml", number + 1
        assert is_numbered(name, base)
        return os.path.join(folder, name)

    def to_trash(self, path, for_good=False):
        if for_good or os.path.basename(os.path.dirname(path)) in ("Trash", "Junk"):
            os.unlink(path)
        else:
            target = self.free_name(os.path.join(self.root, "Trash"), self.shell.read(path), int(os.stat(path).st_mtime))
            os.rename(path, target)

    def expunge_all(self, folder):
        for name in listed(folder):
            path = os.path.join(folder, name)
            if DELETED in os.getxattr(path, "user.mailfs.flags").decode().split():
                os.unlink(path)

    def settle(self, model):
        for copy in model.copies:
            copy.touched = copy.fresh = False

    def walk(self):
        for folder, _, files in os.walk(self.root):
            if folder != self.root:
                mailbox = os.path.relpath(folder, self.root).replace("%25", "%")
                yield mailbox, [(os.path.join(folder, name), name) for name in files]

    def snapshot(self):
        found = {}
        for mailbox, files in self.walk():
            found[mailbox] = []
            for path, _ in files:
                data, status = self.shell.read(path), os.stat(path)
                flags = frozenset(os.getxattr(path, "user.mailfs.flags").decode().split())
                found[mailbox].append(Held(status.st_ino, mid_of(data), digest_of(data), flags, int(status.st_mtime)))
        return found

    def tree(self):
        held = self.snapshot()
        return {mailbox: [Shown(name, one.uid, one.digest, os.stat(path).st_size, os.stat(path).st_size, one.date, one.flags)
                          for (path, name), one in zip(files, held[mailbox])] for mailbox, files in self.walk()}
