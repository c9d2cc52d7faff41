# SPDX-License-Identifier: MIT
"""Files that wait for the server: what they are called, what takes their place, and what becomes of them."""
import errno
import os

from common import (Place, bodies, empty_server, fails, fetch_mailbox, listed, main, on_server, read, test, text, wait_for)


def log_of(mount):
    return read(os.path.join(mount, ".mailfs", "log")).decode()


@test("no file is called as a message is by its number")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        work, inbox = os.path.join(mount, "Work"), os.path.join(mount, "INBOX")
        number = os.path.join(work, "12.eml")
        fails(errno.EINVAL, lambda: open(number, "wb"))
        with open(os.path.join(work, "x.tmp"), "wb") as file:
            file.write(text(1))
        fails(errno.EINVAL, lambda: os.rename(os.path.join(work, "x.tmp"), number))
        fails(errno.EINVAL, lambda: os.rename(os.path.join(inbox, listed(inbox)[0]), number))
        log = log_of(mount)
        for operation in ("create", "rename"):
            assert f"{operation}: 12.eml is the name of the message with that number" in log, log
        os.rename(os.path.join(work, "x.tmp"), os.path.join(work, "012.eml"))
        assert bodies(on_server(server, "Work", 1)) == [text(1)]


@test("a message takes the place of a file that is still written")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        work, inbox = os.path.join(mount, "Work"), os.path.join(mount, "INBOX")
        path = os.path.join(work, "x.eml")
        (first, second) = listed(inbox)
        moved = read(os.path.join(inbox, first))
        with open(path, "wb") as file:
            file.write(text(1))
            file.flush()
            os.rename(os.path.join(inbox, first), path)
            assert read(path) == moved
        assert listed(work) == ["x.eml"] and listed(inbox) == [second]
        # A name within the mailbox is only a name.
        with open(os.path.join(inbox, "y.eml"), "wb") as file:
            file.write(text(2))
            file.flush()
            os.rename(os.path.join(inbox, second), os.path.join(inbox, "y.eml"))
        assert wait_for(lambda: listed(inbox) == ["y.eml"]), listed(inbox)
        os.rename(path, os.path.join(inbox, "z.eml"))
        assert bodies(fetch_mailbox(server, "Work")) == [] and len(fetch_mailbox(server, "INBOX")) == 2


main()
