# SPDX-License-Identifier: MIT
"""An account that is used while mailfs is killed or cut off, and the mailfs that this is done to."""
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading

from common import Dovecot, Place, Skip, is_mounted, processes, wait_for
from faults import Filter, bare_expunges
from model import Copy, Model
from steps import START, Steps, seed_of
from worlds import MailWorld

SEED = seed_of("7")
MAILBOXES = ["INBOX", "Sent", "Drafts", "Trash", "Junk"]
OPTIONS = ("dir-time=1", "delete-limit=0", "timeout=10")
COMMANDS = r"UID (STORE|COPY|MOVE|EXPUNGE) |APPEND |CREATE |DELETE |RENAME |SELECT "
PATIENCE = 25
LIBC = ctypes.CDLL(None, use_errno=True)
MNT_FORCE = 1
# Folders and what they hold are where one cut leaves most in doubt: a few of these are enough.
WEIGHTS = {"move_many": 4, "rmdir": 1, "move_folder": 1, "refused": 0, "tool": 0, "deliver": 0, "look": 1}
# What the server seems not to have, one after the other.
POOR = [(), ("UIDPLUS", "MOVE"), ("MOVE",), ("UIDPLUS",), ("CONDSTORE", "QRESYNC", "NOTIFY"),
        ("SPECIAL-USE", "LITERAL+", "MULTIAPPEND", "ESEARCH")]


class Account:
    """A Dovecot behind a Filter, a model of it, and the steps that are done to both."""

    def __init__(self, server, place, proxy):
        self.server, self.place, self.proxy = server, place, proxy
        self.url = server.url().replace(str(server.port), str(proxy.port))
        self.world = MailWorld(server, place, tools=False, patience=PATIENCE)
        self.model = Model(MAILBOXES)
        self.model.forgetful = True
        self.walk = Steps(self.world, self.model, SEED, faulty=True, plain=True, weights=WEIGHTS)
        # Theirs, and marked: whatever happens it stays.
        for mailbox in MAILBOXES:
            copy = self.model.add(Copy(self.walk.letter(), mailbox, {"\\Deleted"}, (START, START)))
            copy.theirs = copy.lasting = True
            self.world.foreign.deliver(mailbox, copy.data, copy.flags, START)

    @contextlib.contextmanager
    def mounted(self):
        self.walk.dead = False
        with self.place.mount(self.server, *OPTIONS, url=self.url, tls=False) as self.world.root:
            yield self.world.root

    def be_poorer(self, number):
        """The server has not everything, from the next mount on: the @number-th choice of it."""
        names = POOR[number % len(POOR)]
        self.proxy.set_without(names)
        self.model.can_expunge = "UIDPLUS" not in names
        self.walk.note(f"without {', '.join(names) or 'nothing'}")

    def check(self):
        with self.mounted():
            self.walk.check()

    def check_at_last(self):
        """Once more, with an empty cache; and nothing was expunged with what others had marked."""
        self.place.forget()
        with self.mounted():
            self.walk.check(fresh=True)
        bare = [pair for pair in bare_expunges(self.proxy.commands) if pair[0] in MAILBOXES or pair[1].upper() == "CLOSE"]
        assert not bare, bare
        print(f"# {len(self.walk.history)} steps: {self.walk.counts}")


@contextlib.contextmanager
def account():
    print(f"# seed {SEED}")
    with Dovecot() as server, Place() as place:
        for mailbox in MAILBOXES:
            server.folder((mailbox,))
        server.start()
        with Filter(server.port) as proxy:
            found = Account(server, place, proxy)
            yield found
            found.world.close()


class Victim:
    """mailfs in the background, to be killed; and what the kernel keeps of its mount cleared away."""

    def __init__(self, held):
        self.path = held.world.root = held.place.mountpoint()
        done = held.place.mailfs(held.url, self.path, "-o", ",".join(("tls=none", *OPTIONS)), password=held.server.password)
        assert done.returncode == 0, f"mount: exit {done.returncode}: {done.stderr}"
        self.pid = processes(self.path)[0]
        self.world = held.world
        self.watch = threading.Thread(target=self.clear, daemon=True)
        self.watch.start()

    def clear(self):
        """A thread that tells the kernel of a directory in which somebody waits for an answer does not die: he waits for
        ever, until the connection is broken off, as the next mailfs would do it."""
        wait_for(lambda: state_of(f"/proc/{self.pid}") in (None, b"Z"), 300, 0.02)
        if not wait_for(lambda: not is_alive(self.pid), 0.5, 0.005):
            LIBC.umount2(os.fsencode(self.path), MNT_FORCE)

    def kill(self):
        """On any thread, more than once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def bury(self):
        self.kill()
        self.watch.join()
        assert wait_for(lambda: not is_alive(self.pid), 30, 0.005)
        if is_mounted(self.path):
            self.world.unmount_dead()


def is_online(root):
    with open(os.path.join(root, ".mailfs", "status"), encoding="utf-8") as file:
        return "online" in file.read()


def state_of(path):
    """R, S, D, Z … of a process or thread, by its directory in /proc; None: it is no more."""
    with contextlib.suppress(OSError), open(os.path.join(path, "stat"), "rb") as file:
        return file.read().rpartition(b")")[2].split()[0]
    return None


def is_alive(pid):
    """Has it a thread that has not ended? One that nobody has waited for yet is a zombie, which holds nothing."""
    with contextlib.suppress(OSError):
        return any(state_of(f"/proc/{pid}/task/{thread}") not in (None, b"Z", b"X") for thread in os.listdir(f"/proc/{pid}/task"))
    return False


def is_traced(pid):
    """All its threads."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
            if "TracerPid:\t0\n" in file.read():
                return False
    return True


@contextlib.contextmanager
def injected(pid, calls, what, *paths):
    """Whenever one of its threads makes one of these system calls (on a file of @paths) @what happens to it: see inject
    in strace(1)."""
    if shutil.which("strace") is None:
        raise Skip("strace is not installed: run contrib/install")
    command = ["strace", "-f", "-q", "-p", str(pid), "-o", "/dev/null", "-e", f"trace={calls}", "-e",
               f"inject={calls}:{what}", *(word for path in paths for word in ("-P", path))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True) as child:
        try:
            wait_for(lambda: child.poll() is not None or is_traced(pid), 10, 0.002)
            if child.poll() is not None:
                raise Skip("strace cannot attach: " + child.stderr.read().strip())
            yield
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    # Asked to end while the program that it watches dies it waits for ever, now and then.
                    child.kill()
