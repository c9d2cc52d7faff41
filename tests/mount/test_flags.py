# SPDX-License-Identifier: MIT
"""Flags are set by setfattr, by mailfs flag, and by the names in .maildir."""
import errno
import os
import shutil
import subprocess

from common import Dovecot, fails, fetch_mailbox, filled, flags_of, listed, main, Place, read, run, samples, test, wait_for


@test("setfattr sets, changes and removes flags, and only what differs")
def _():
    with filled(3) as server, Place() as place, place.mount(server) as mount:
        bulk = os.path.join(mount, "Bulk")
        path = os.path.join(bulk, listed(bulk)[0])
        for text in ("\\Seen", "\\Seen \\Flagged work", "work", "\\Answered"):
            os.setxattr(path, "user.mailfs.flags", text.encode())
            assert flags_of(path) == set(text.split()) and fetch_mailbox(server, "Bulk", "1")[1].flags == set(text.split())
        os.removexattr(path, "user.mailfs.flags")
        assert fetch_mailbox(server, "Bulk", "1")[1].flags == set()
        fails(errno.EINVAL, lambda: os.setxattr(path, "user.mailfs.flags", b"\\NoSuchFlag"))
        fails(errno.EINVAL, lambda: os.setxattr(path, "user.mailfs.flags", b"two(words"))
        fails(errno.EPERM, lambda: os.setxattr(path, "user.mailfs.uid", b"7"))
        fails(errno.EPERM, lambda: os.setxattr(path, "user.mail.subject", b"x"))
        fails(errno.EOPNOTSUPP, lambda: os.setxattr(path, "user.other", b"x"))
        fails(errno.EOPNOTSUPP, lambda: os.setxattr(path, "trusted.x", b"x"))


@test("flags of a new file go with it, also by cp -a")
def _():
    with filled(2) as server, Place() as place, place.mount(server) as mount:
        bulk = os.path.join(mount, "Bulk")
        path = os.path.join(bulk, listed(bulk)[0])
        os.setxattr(path, "user.mailfs.flags", b"\\Seen work")
        run("cp", "-a", path, os.path.join(mount, "Target", "copy.eml"))
        with open(os.path.join(mount, "Target", "new.eml"), "wb") as file:
            file.write(b"Subject: new\r\n\r\nx\r\n")
            file.flush()
            os.setxattr(os.path.join(mount, "Target", "new.eml"), "user.mailfs.flags", b"\\Flagged")
        run("sync", os.path.join(mount, "Target"))
        found = {m.data[:12]: m.flags for m in fetch_mailbox(server, "Target").values()}
        assert sorted(map(sorted, found.values())) == [["\\Flagged"], ["\\Seen", "work"]], found


@test("mailfs flag changes many files by one command")
def _():
    with filled(200) as server, Place() as place, place.mount(server) as mount:
        bulk = os.path.join(mount, "Bulk")
        paths = [os.path.join(bulk, name) for name in listed(bulk)]
        done = place.mailfs("flag", "+seen", "+work", *paths)
        assert done.returncode == 0, done
        assert all(m.flags == {"\\Seen", "work"} for m in fetch_mailbox(server, "Bulk").values())
        done = place.mailfs("flag", "-seen", "+flagged", *paths[:100])
        assert done.returncode == 0, done
        assert sum(m.flags == {"\\Flagged", "work"} for m in fetch_mailbox(server, "Bulk").values()) == 100
        assert flags_of(paths[0]) == {"\\Flagged", "work"}
        assert place.mailfs("flag", "+seen").returncode == 64
        assert place.mailfs("flag", paths[0]).returncode == 64
        assert place.mailfs("flag", "+no(such", paths[0]).returncode == 64
        assert place.mailfs("flag", "+seen", os.path.join(bulk, "nosuch.eml")).returncode == 65
        assert place.mailfs("flag", "+seen", place.config + "x").returncode == 65


@test("a rename in .maildir is a STORE, and the old name is gone")
def _():
    with filled(3) as server, Place() as place, place.mount(server) as mount:
        top = os.path.join(mount, ".maildir", "Bulk")
        name = sorted(os.listdir(os.path.join(top, "new")))[0]
        os.rename(os.path.join(top, "new", name), os.path.join(top, "cur", name + ":2,S"))
        assert os.listdir(os.path.join(top, "cur")) == [name + ":2,S"], os.listdir(os.path.join(top, "cur"))
        assert not os.path.lexists(os.path.join(top, "new", name))
        os.rename(os.path.join(top, "cur", name + ":2,S"), os.path.join(top, "cur", name + ":2,FRS"))
        assert os.listdir(os.path.join(top, "cur")) == [name + ":2,FRS"]
        for old in (f"cur/{name}:2,S", f"new/{name}"):
            assert not os.path.lexists(os.path.join(top, old)), old
        flagged = [m for m in fetch_mailbox(server, "Bulk").values() if m.flags]
        assert len(flagged) == 1 and flagged[0].flags == {"\\Seen", "\\Flagged", "\\Answered"}
        os.rename(os.path.join(top, "cur", name + ":2,FRS"), os.path.join(top, "new", name))
        assert all(not m.flags for m in fetch_mailbox(server, "Bulk").values())
        os.unlink(os.path.join(top, "new", name))
        assert len(fetch_mailbox(server, "Bulk")) == 2


@test("read-only: EROFS for every change, and the server hears of none")
def _():
    with filled(3, rawlog=True) as server, Place() as place, place.mount(server, "ro") as mount:
        bulk = os.path.join(mount, "Bulk")
        path = os.path.join(bulk, listed(bulk)[0])
        read(path)
        for act in (lambda: os.unlink(path), lambda: os.rename(path, os.path.join(mount, "Target", "x.eml")),
                    lambda: os.mkdir(os.path.join(mount, "New")), lambda: os.rmdir(os.path.join(mount, "Target")),
                    lambda: open(os.path.join(bulk, "x.eml"), "wb"), lambda: open(path, "ab"), lambda: os.chmod(path, 0o600),
                    lambda: os.utime(path), lambda: os.setxattr(path, "user.mailfs.flags", b"\\Seen"),
                    lambda: os.removexattr(path, "user.mailfs.flags"), lambda: os.symlink("x", os.path.join(bulk, ".#x")),
                    lambda: os.rename(os.path.join(mount, "Target"), os.path.join(mount, "Other"))):
            fails(errno.EROFS, act)
        assert place.mailfs("flag", "+seen", path).returncode == 69
        words = {"STORE", "COPY", "MOVE", "EXPUNGE", "APPEND", "CREATE", "DELETE", "RENAME", "SELECT", "CLOSE", "SUBSCRIBE"}
        changing = [command for command in server.commands() if words & set(command.upper().split()[:3])]
        # Those of the test's own client, which has filled it.
        assert [command.split()[1] for command in changing] == ["CREATE", "CREATE", "SELECT", "STORE"], changing


main()
