# SPDX-License-Identifier: MIT
"""Files that wait for the server: what they are called, what takes their place, and what becomes of them."""
import errno
import os

from common import (Dovecot, Place, bodies, empty_server, fails, fetch_mailbox, flags_of, is_uploaded, listed, main, on_server, read, run, test, text,
                    uid_of, wait_for)


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


def is_copied(path):
    """The copy is a message by now."""
    return wait_for(lambda: is_uploaded(path))


@test("flags and times that are set on a copy are those of the message it becomes")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        work, inbox = os.path.join(mount, "Work"), os.path.join(mount, "INBOX")
        source = os.path.join(inbox, listed(inbox)[0])
        os.setxattr(source, "user.mailfs.flags", b"\\Answered old")
        for number in range(6):
            path = os.path.join(work, f"{number}x.eml")
            run("cp", source, path)
            os.setxattr(path, "user.mailfs.flags", f"\\Flagged n{number}".encode())
        run("cp", source, os.path.join(work, "same.eml"))
        run("cp", "-p", source, os.path.join(work, "dated.eml"))
        os.utime(os.path.join(work, "dated.eml"), (1600000000, 1600000000))
        found = on_server(server, "Work", 8)
        assert all(is_copied(os.path.join(work, name)) for name in listed(work)), os.listdir(work)
        assert len(set(bodies(found))) == 1 and bodies(found)[0] == read(source)
        after = {name: fetch_mailbox(server, "Work")[uid_of(os.path.join(work, name))] for name in listed(work)}
        for number in range(6):
            path = os.path.join(work, f"{number}x.eml")
            assert after[f"{number}x.eml"].flags == {"\\Flagged", f"n{number}"} == flags_of(path), (after, flags_of(path))
        for name, date in (("same.eml", os.stat(source).st_mtime), ("dated.eml", 1600000000)):
            assert after[name].flags == {"\\Answered", "old"} == flags_of(os.path.join(work, name)), after[name].flags
            assert after[name].date == date == os.stat(os.path.join(work, name)).st_mtime, after[name].date


@test("a copy of a message that is marked \\Deleted is not, without UIDPLUS too")
def _():
    with empty_server(without=("UIDPLUS", "MOVE")) as server, Place() as place, place.mount(server) as mount:
        work, inbox = os.path.join(mount, "Work"), os.path.join(mount, "INBOX")
        source = os.path.join(inbox, listed(inbox)[0])
        os.setxattr(source, "user.mailfs.flags", b"\\Deleted \\Seen")
        run("cp", source, os.path.join(work, "x.eml"))
        on_server(server, "Work", 1)
        assert is_copied(os.path.join(work, "x.eml"))
        (message,) = fetch_mailbox(server, "Work").values()
        assert message.flags == {"\\Seen"}, message.flags


@test("who holds a file that has become a message reaches the message")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        path = os.path.join(mount, "Work", "x.eml")
        with open(path, "wb") as file:
            file.write(text(1))
        fd = os.open(path, os.O_RDONLY)
        try:
            assert wait_for(lambda: is_uploaded(path))
            os.setxattr(fd, "user.mailfs.flags", b"\\Flagged")
            assert os.getxattr(fd, "user.mailfs.flags") == b"\\Flagged"
            assert int(os.getxattr(fd, "user.mailfs.uid")) == uid_of(path)
            assert os.fstat(fd).st_size == len(text(1)) and os.pread(fd, 9999, 0) == text(1)
        finally:
            os.close(fd)
        (message,) = fetch_mailbox(server, "Work").values()
        assert message.flags == {"\\Flagged"}


@test("flags that are set while files become messages are all kept")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        work = os.path.join(mount, "Work")
        for number in range(12):
            path = os.path.join(work, f"m{number}.eml")
            with open(path, "wb") as file:
                file.write(text(number))
            # Until a moment after it is a message, whenever that is.
            last, step = None, 0
            while last is None or step < last + 3:
                os.setxattr(path, "user.mailfs.flags", f"k{step % 5}".encode())
                os.stat(path)
                if last is None and is_uploaded(path):
                    last = step
                step += 1
            run("sync", work)
            found = {m.data: m.flags for m in fetch_mailbox(server, "Work").values()}
            assert found[text(number)] == {f"k{(step - 1) % 5}"}, (number, step, found[text(number)])


def fsync(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@test("what the server has no room for, or does not take, stays with the reason, and goes when it can")
def _():
    # Nothing over 20 kB, 40 kB in all, and a mailbox that takes nothing.
    with Dovecot(quota=40_000, plugins=("acl",)) as server, Place() as place:
        server.settings["config"] = f"plugin {{\n  quota_max_mail_size = 20k\n  acl = vfile:{server.path('acls')}\n}}"
        os.mkdir(server.path("acls"))
        with open(server.path("acls", "Locked"), "w", encoding="ascii") as file:
            file.write("owner lr\n")
        server.write_config()
        server.start()
        line = server.client()
        for name in ("Work", "Locked"):
            line.create(name)
        line.append("Work", "", None, text(0, body="x" * 15_000))
        line.append("Work", "", None, text(1, body="x" * 15_000))
        with place.mount(server) as mount:
            big, locked, more = (os.path.join(mount, *where) for where in (("Work", "big.eml"), ("Locked", "x.eml"), ("Work", "more.eml")))
            for path, size, code, words in ((big, 25_000, errno.EMSGSIZE, b"larger"), (locked, 10, errno.EACCES, b"ermission"),
                                            (more, 15_000, errno.EDQUOT, b"uota")):
                with open(path, "wb") as file:
                    file.write(text(path, body="y" * size))
                for _ in range(2):
                    fails(code, lambda path=path: fsync(path))
                status = os.getxattr(path, "user.mailfs.status")
                assert status.startswith(b"refused: ") and words in status, status
                assert f"{os.path.basename(path)}: not uploaded" in log_of(mount), log_of(mount)
            assert b"tried again at" in os.getxattr(more, "user.mailfs.status")
        # After a remount, too.
        with place.mount(server) as mount:
            assert sorted(os.listdir(os.path.join(mount, "Locked"))) == ["x.eml"]
            fails(errno.EACCES, lambda: fsync(locked))
            fails(errno.EDQUOT, lambda: fsync(more))
            assert len(read(big)) > 25_000
            line.select("Work")
            line.store("1", "+FLAGS.SILENT", "(\\Deleted)")
            line.expunge()
            assert wait_for(lambda: is_uploaded(more), 20), os.getxattr(more, "user.mailfs.status")
            assert sorted(len(data) for data in bodies(fetch_mailbox(server, "Work")))[1] > 15_000
            os.unlink(big)
            os.unlink(locked)
        line.logout()


main()
