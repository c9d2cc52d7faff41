# SPDX-License-Identifier: MIT
"""mkdir, rmdir and mv of folders are CREATE, DELETE and RENAME; litter never becomes a mailbox."""
import errno
import os

from common import Dovecot, fails, fetch_mailbox, filled, folders, list_mailboxes, listed, main, mutf7, Place, read, run, samples, test, wait_for


@test("mkdir makes mailboxes, also below each other and with any name")
def _():
    with filled(1) as server, Place() as place, place.mount(server) as mount:
        for name in ("New", "New/Below", "Grüße", "R&D", "with space", "50%25"):
            os.mkdir(os.path.join(mount, name))
            assert os.path.isdir(os.path.join(mount, name)) and os.listdir(os.path.join(mount, name)) == []
        assert {"New", "New/Below", mutf7("Grüße"), mutf7("R&D"), "with space", "50%"} <= set(list_mailboxes(server)), list_mailboxes(server)
        fails(errno.EEXIST, lambda: os.mkdir(os.path.join(mount, "New")))
        fails(errno.EEXIST, lambda: os.mkdir(os.path.join(mount, "INBOX")))
        assert {"New", "Grüße", "R&D", "with space", "50%25"} <= set(folders(mount))


@test("litter of desktops and editors is refused at once")
def _():
    with filled(1) as server, Place() as place, place.mount(server) as mount:
        before = list_mailboxes(server)
        for name in (".Trash-1000", ".Trash", ".git", "Bulk/.Trash-0"):
            fails(errno.EPERM, lambda: os.mkdir(os.path.join(mount, name)))
        assert list_mailboxes(server) == before


@test("rmdir takes empty mailboxes only, and neither INBOX nor special ones")
def _():
    with filled(2) as server, Place() as place, place.mount(server) as mount:
        fails(errno.ENOTEMPTY, lambda: os.rmdir(os.path.join(mount, "Bulk")))
        fails(errno.EPERM, lambda: os.rmdir(os.path.join(mount, "INBOX")))
        with open(os.path.join(mount, "Target", ".local"), "wb") as file:
            file.write(b"x")
        fails(errno.ENOTEMPTY, lambda: os.rmdir(os.path.join(mount, "Target")))
        os.unlink(os.path.join(mount, "Target", ".local"))
        os.rmdir(os.path.join(mount, "Target"))
        assert "Target" not in list_mailboxes(server) and "Target" not in folders(mount)
        fails(errno.ENOENT, lambda: os.rmdir(os.path.join(mount, "Target")))
        fails(errno.EPERM, lambda: os.rmdir(os.path.join(mount, ".text")))


@test("mv renames a mailbox with all below it, and nothing is fetched anew")
def _():
    with filled(5, "Target", "Bulk/Below") as server, Place() as place, place.mount(server) as mount:
        names = listed(os.path.join(mount, "Bulk"))
        # What is not on the server goes along.
        with open(os.path.join(mount, "Bulk", "Below", ".local"), "wb") as file:
            file.write(b"x")
        bodies = [read(os.path.join(mount, "Bulk", name)) for name in names]
        os.rename(os.path.join(mount, "Bulk"), os.path.join(mount, "Renamed"))
        assert listed(os.path.join(mount, "Renamed")) == names and not os.path.exists(os.path.join(mount, "Bulk"))
        assert [read(os.path.join(mount, "Renamed", name)) for name in names] == bodies
        os.unlink(os.path.join(mount, "Renamed", "Below", ".local"))
        assert {"Renamed", "Renamed/Below"} <= set(list_mailboxes(server)) and os.path.isdir(os.path.join(mount, "Renamed", "Below"))
        run("mv", os.path.join(mount, "Renamed"), os.path.join(mount, "Target"))
        assert listed(os.path.join(mount, "Target", "Renamed")) == names
        assert "Target/Renamed/Below" in list_mailboxes(server)
        fails(errno.EEXIST, lambda: os.rename(os.path.join(mount, "Target"), os.path.join(mount, "INBOX")))


main()
