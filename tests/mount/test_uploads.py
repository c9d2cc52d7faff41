# SPDX-License-Identifier: MIT
"""Files that wait for the server: what they are called, what takes their place, and what becomes of them."""
import errno
import os
import re
import signal
import time

from common import (Dovecot, Place, bodies, empty_server, fails, fetch_mailbox, flags_of, is_uploaded, listed, main, on_server, processes, read,
                    rsync, run, run_umount, samples, test, text, uid_of, wait_for)
from proxy import Proxy


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
        with open(source, "rb") as original, open(os.path.join(work, "dated.eml"), "wb") as file:
            os.copy_file_range(original.fileno(), file.fileno(), 1 << 20)
            os.utime(file.fileno(), (1600000000, 1600000000))
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


@test("a directory with files that are not uploaded is not removed; renamed, it takes them along")
def _():
    with empty_server("Work", "Work/Below") as server, Place() as place:
        with place.mount(server, unmount=False) as mount:
            work, late = os.path.join(mount, "Work"), os.path.join(mount, "Late")
            files = {"x.swp": b"local", "photo": b"GIF89a", os.path.join("Below", "y.tmp"): text(2)}
            for name, data in files.items():
                file = open(os.path.join(work, name), "wb")
                file.write(data)
                try:
                    file.close()
                except OSError as error:
                    assert (name, error.errno) == ("photo", errno.EINVAL), (name, error)
            fails(errno.ENOTEMPTY, lambda: os.rmdir(os.path.join(work, "Below")))
            with open(os.path.join(work, "x.eml"), "wb") as file:
                file.write(text(1))
                os.rename(work, late)
                assert sorted(os.listdir(late)) == ["Below", "photo", "x.eml", "x.swp"], os.listdir(late)
            assert bodies(on_server(server, "Late", 1)) == [text(1)]
            for name, data in files.items():
                assert read(os.path.join(late, name)) == data, name
            assert wait_for(lambda: is_uploaded(os.path.join(late, "x.eml")))
            for pid in processes(mount):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not processes(mount))
        with place.mount(server) as mount:
            for name, data in files.items():
                assert read(os.path.join(late, name)) == data, name
            os.rename(os.path.join(late, "Below", "y.tmp"), os.path.join(late, "y.eml"))
            assert len(on_server(server, "Late", 2)) == 2
            for name in ("x.swp", "photo"):
                os.unlink(os.path.join(late, name))
            os.rmdir(os.path.join(late, "Below"))


@test("what waits in a mailbox that another client deletes is in the next one of that name")
def _():
    with empty_server() as server, Place() as place, place.mount(server, "dir-time=0") as mount:
        path = os.path.join(mount, "Work", "x.tmp")
        with open(path, "wb") as file:
            file.write(text(1))
        line = server.client()
        line.delete("Work")
        assert wait_for(lambda: "Work" not in os.listdir(mount)), os.listdir(mount)
        # Those who wait in it hear of it last.
        assert wait_for(lambda: b"(Work)/x.tmp  local" in read(os.path.join(mount, ".mailfs", "status")))
        line.create("Work")
        line.logout()
        assert wait_for(lambda: "Work" in os.listdir(mount))
        assert os.listdir(os.path.join(mount, "Work")) == ["x.tmp"] and read(path) == text(1)
        os.rename(path, os.path.join(mount, "Work", "x.eml"))
        assert bodies(on_server(server, "Work", 1)) == [text(1)]
        assert wait_for(lambda: is_uploaded(os.path.join(mount, "Work", "x.eml")))


@test("that an upload is over is no change of its directory: a copier has compared the time before")
def _():
    with empty_server() as server, Place() as place, Proxy(server.port) as proxy:
        with place.mount(server, url=server.url().replace(str(server.port), str(proxy.port))) as mount:
            work = os.path.join(mount, "Work")
            assert listed(work) == []
            proxy.stall()
            with open(os.path.join(work, "x.eml"), "wb") as file:
                file.write(text(1))
            before = os.stat(work).st_mtime_ns
            assert wait_for(lambda: time.time_ns() >= before + 1_100_000_000)
            proxy.go_on()
            assert wait_for(lambda: is_uploaded(os.path.join(work, "x.eml")))
            assert os.stat(work).st_mtime_ns == before


@test("umount does not wait for a mailbox that is no more; what was to go there is kept, and follows")
def _():
    with empty_server() as server, Place() as place, Proxy(server.port) as proxy:
        url = server.url().replace(str(server.port), str(proxy.port))
        with place.mount(server, url=url) as mount:
            assert listed(os.path.join(mount, "Work")) == []
            proxy.refuse()
            assert wait_for(lambda: b"connection  offline" in read(os.path.join(mount, ".mailfs", "status")))
            with open(os.path.join(mount, "Work", "x.eml"), "wb") as file:
                file.write(text(1))
        line = server.client()
        line.delete("Work")
        proxy.accept()
        with place.mount(server, url=url, unmount=False) as mount:
            done = place.mailfs("umount", mount, timeout=20)
            assert done.returncode == 0 and "1 change is not on the server yet: kept" in done.stderr, done.stderr
            assert wait_for(lambda: not processes(mount), 30)
        line.create("Work")
        line.logout()
        with place.mount(server, url=url):
            assert bodies(on_server(server, "Work", 1)) == [text(1)]


@test("what a second mount leaves behind is told to those who mount once")
def _():
    with empty_server() as server, Place() as place:
        second = place.mount(server, "cache-dir=" + place.path("second"), name="two", unmount=False)
        with place.mount(server), second as mount:
            with open(os.path.join(mount, "Work", "x.tmp"), "wb") as file:
                file.write(text(1))
            os.kill(processes(mount)[0], signal.SIGKILL)
            assert wait_for(lambda: not processes(mount))
            run_umount(mount, lazy=True)
        with place.mount(server) as mount:
            assert "wait in " + place.path("state") in log_of(mount), log_of(mount)


@test("rsync restores awkward mail: names, bytes, dates; the next run is idle, also after a remount")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        backup = place.path("backup")
        with place.mount(server) as mount:
            inbox, restored = os.path.join(mount, "INBOX"), os.path.join(mount, "Restored")
            rsync(inbox, backup)
            os.mkdir(restored)
            rsync(backup, restored)
            run("sync", restored)
            assert rsync(backup, restored) == [], rsync(backup, restored)[:5]
            assert sorted(listed(restored)) == sorted(listed(inbox))
            assert any("~2.eml" in name for name in listed(restored))
            names = listed(inbox)
        # One without all four headers is called by its UID, and this server takes no date of the future.
        odd = {name for name in names if re.search(r"\.u\d+\.eml$", name) or name > "2030"}
        assert len(odd) < 5 < len(names), odd
        place.forget()
        with place.mount(server) as mount:
            assert set(names) - set(listed(restored)) <= odd and len(listed(restored)) == len(names)
            changed = [line for line in rsync(backup, restored, "-n") if line.split(" ", 1)[1] not in odd]
            assert changed == [], changed[:5]
            source, copy = fetch_mailbox(server, "INBOX"), fetch_mailbox(server, "Restored")
            assert bodies(source) == bodies(copy)
            wanted = {(m.data, m.date) for m in source.values() if m.date < 1_900_000_000}
            assert wanted <= {(m.data, m.date) for m in copy.values()}


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
