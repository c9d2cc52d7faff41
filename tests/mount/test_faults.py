# SPDX-License-Identifier: MIT
"""Disks that fail: what was answered with success is done, once; what was not is done or not done, wholly; and nobody
else's mail is touched. MODEL_SEED gives the seed (or "random")."""
import contextlib
import os

from common import fetch_mailbox, main, processes, test
from model import digest_of
from steps import START
from victim import account, injected


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
