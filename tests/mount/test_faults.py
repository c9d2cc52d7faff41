# SPDX-License-Identifier: MIT
"""Lines that are cut at any byte, and disks that fail: what was answered with success is done, once; what was not is done
or not done, wholly; and nobody else's mail is touched. MODEL_SEED gives the seed (or
"random"), CUTS how often."""
import contextlib
import errno
import os
import random

from common import Place, empty_server, fails, fetch_mailbox, listed, main, processes, read, test, wait_for
from faults import Filter
from model import digest_of
from steps import START
from victim import COMMANDS, SEED, account, injected, is_online

CUTS = int(os.environ.get("CUTS") or 60)
# So many a mount: a line that is lost again and again is waited for longer and longer.
ROUND = 5


def cut_somewhere(chance, proxy):
    how = chance.choice(["received", "sent", "before", "after", "answer"])
    reset = chance.random() < 0.5
    if how == "received":
        proxy.cut(chance.randrange(1, 3000), reset)
    elif how == "sent":
        proxy.cut_sent(chance.randrange(1, 3000), reset)
    else:
        proxy.call(COMMANDS, how, chance.randrange(1, 5), lambda: proxy.cut(0, reset))
    return how


def cut_and_step(chance, held, root, number):
    held.walk.note(f"to be cut ({number}): {cut_somewhere(chance, held.proxy)}")
    for _ in range(chance.randrange(2, 8)):
        held.walk.step()
    held.proxy.go_on()
    assert wait_for(lambda: is_online(root), 30, 0.02), "it does not connect again"


@test(f"cut off {CUTS} times at any byte of either direction, on servers with and without UIDPLUS, MOVE, CONDSTORE, "
      "SPECIAL-USE: mailfs connects again, and nothing is lost, undone or doubled")
def _():
    chance = random.Random(SEED)
    with account() as held:
        for first in range(0, CUTS, ROUND):
            held.be_poorer(first // ROUND)
            with held.mounted() as root:
                for number in range(first, min(first + ROUND, CUTS)):
                    cut_and_step(chance, held, root, number)
                held.walk.check()
        held.check_at_last()


@test("moved just before the line is lost, by a server that does not say what it is there: neither gone nor to be "
      "reached, until the line is back; then there, under its name")
def _():
    with empty_server() as server, Place() as place, Filter(server.port, ("UIDPLUS", "MOVE")) as proxy:
        url = server.url().replace(str(server.port), str(proxy.port))
        # One line: on another one the new place could be asked for before the old one is marked.
        with place.mount(server, "dir-time=3600", "connections=1", url=url, tls=False) as root:
            name = listed(os.path.join(root, "INBOX"))[0]
            path = os.path.join(root, "Work", "moved.eml")
            data = read(os.path.join(root, "INBOX", name))
            assert listed(os.path.join(root, "Work")) == []
            # It is marked in its old place: what comes next asks for the new one.
            proxy.call("UID STORE", "", 1, lambda: proxy.call("SELECT|EXAMINE|STATUS|NOOP|UID FETCH", "before", 1, proxy.refuse))
            os.rename(os.path.join(root, "INBOX", name), path)
            assert wait_for(lambda: not is_online(root))
            assert os.stat(path).st_size == len(data)
            fails(errno.EHOSTUNREACH, lambda: read(path))
            fails(errno.EHOSTUNREACH, lambda: os.unlink(path))
            fails(errno.EHOSTUNREACH, lambda: os.rename(path, os.path.join(root, "INBOX", name)))
            fails(errno.EHOSTUNREACH, lambda: os.setxattr(path, "user.mailfs.flags", b"\\Seen"))
            fails(errno.EPERM, lambda: os.truncate(path, 3))
            fails(errno.ENOENT, lambda: os.stat(os.path.join(root, "INBOX", name)))
            proxy.accept()
            assert wait_for(lambda: listed(os.path.join(root, "Work")) == ["moved.eml"], 30, 0.1)
            assert read(path) == data
            os.rename(path, os.path.join(root, "INBOX", name))


# A disk that fails

def spool_files(place):
    found = []
    for folder, _, names in os.walk(place.path("state")):
        if os.path.basename(folder) == "spool":
            found += [os.path.join(folder, name) for name in names]
    return found


def errno_name(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return os.strerror(error.errno)
    return "success"


def write_while_failing(held, root, call, error, words):
    """One message waits in the spool, another is written: its writer is told."""
    inbox = os.path.join(root, "INBOX")
    first, second = held.walk.letter(), held.walk.letter()
    os.listdir(inbox)
    held.proxy.stall()
    held.world.shell.write(os.path.join(inbox, "first.eml"), first, START, None)
    before = set(spool_files(held.place))
    fd = os.open(os.path.join(inbox, "second.eml"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    paths = sorted(set(spool_files(held.place)) - before)
    assert len(paths) == 1, paths
    with injected(processes(root)[0], call, f"error={error}", *paths):
        seen = [errno_name(os.write, fd, second), errno_name(os.close, fd)]
        assert words in seen, seen
    held.proxy.go_on()
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(inbox, "second.eml"))
    return first


def disk_fails(call, error, words):
    with account() as held:
        third = held.walk.letter()
        with held.mounted() as root:
            first = write_while_failing(held, root, call, error, words)
            if error == "ENOSPC":
                # It goes on as soon as there is room.
                held.world.shell.write(os.path.join(root, "INBOX", "third.eml"), third, START, None)
        # After a failed fsync only a new start promises anything again.
        with held.mounted() as root:
            if error != "ENOSPC":
                held.world.shell.write(os.path.join(root, "INBOX", "third.eml"), third, START, None)
            held.world.settle(held.model)
        found = sorted(digest_of(message.data) for message in fetch_mailbox(held.server, "INBOX").values())
        theirs = [copy.digest for copy in held.model.copies if copy.mailbox == "INBOX"]
        assert found == sorted([digest_of(first), digest_of(third), *theirs]), found


@test("no space for what is written (ENOSPC): the writer is told, nothing half is sent, what waits is not harmed")
def _():
    disk_fails("pwrite64", "ENOSPC", "No space left on device")


@test("a disk that cannot write (EIO): the writer is told, nothing half is sent, what waits is not harmed")
def _():
    disk_fails("pwrite64", "EIO", "Input/output error")


@test("a failed fsync (EIO): close() says so, nothing of it is sent, what waits is not harmed")
def _():
    disk_fails("fsync,fdatasync", "EIO", "Input/output error")


if __name__ == "__main__":
    main()
