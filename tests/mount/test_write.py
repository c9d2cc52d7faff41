# SPDX-License-Identifier: MIT
"""Files that programs write become messages: every way in which programs write, names and bytes compared on the server."""
import errno
import mailbox as maildirs
import os
import shutil
import signal
import subprocess
import time

from common import (Dovecot, Place, Skip, bodies, empty_server, fails, fetch_mailbox, is_uploaded, listed, main, on_server,
                    processes, read, run, samples, test, text, uid_of, wait_for)


def typist(place, command, *keys):
    """Types into a program on a terminal, a moment after each other, until it ends."""
    script = subprocess.Popen(["script", "-qec", command, "/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=place.environment(TERM="xterm", COLUMNS="80", LINES="24"))
    for key in keys:
        time.sleep(1)
        script.stdin.write(key.encode())
        script.stdin.flush()
    shown = script.communicate(timeout=30)[0]
    assert script.returncode == 0, shown[-2000:]


@test("a file that is copied in is a message with its name, bytes and date")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        source = place.path("new.eml")
        with open(source, "wb") as file:
            file.write(text(1))
        os.utime(source, (1700000000, 1700000000))
        run("cp", "-p", source, os.path.join(mount, "Work", "new.eml"))
        assert listed(os.path.join(mount, "Work")) == ["new.eml"]
        assert read(os.path.join(mount, "Work", "new.eml")) == text(1)
        (message,) = on_server(server, "Work", 1).values()
        assert message.data == text(1) and message.date == 1700000000, (message.data, message.date)
        path = os.path.join(mount, "Work", "new.eml")
        assert wait_for(lambda: is_uploaded(path)), os.listdir(os.path.dirname(path))
        assert read(path) == text(1) and os.stat(path).st_mtime == 1700000000
        assert listed(os.path.join(mount, "Work")) == ["new.eml"]


@test("shells, tee, dd, install and python write whole messages, once each")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        work = os.path.join(mount, "Work")
        source = place.path("source.eml")
        commands = [
            "cat source > {0}", "{{ head -n 3 source; sleep 0.3; tail -n +4 source; }} > {0}", "tee {0} < source > /dev/null",
            "dd if=source of={0} bs=100 2>/dev/null", "install -m 600 source {0}", "install -m 644 source {0}",
            "exec 3>{0}; head -n 2 source >&3; sleep 0.3; tail -n +3 source >&3; exec 3>&-",
            "head -n 4 source > {0}; tail -n +5 source >> {0}",
            "python3 -c 'import shutil,sys; shutil.copy2(sys.argv[1], sys.argv[2])' source {0}",
            "python3 -c 'import os,sys; d=open(sys.argv[1],\"rb\").read(); f=open(sys.argv[2],\"wb\"); f.write(d); f.flush(); "
            "os.fsync(f.fileno()); f.close()' source {0}",
            "mv moved {0}", "cp source .x.part && mv .x.part {0}"]
        for number, command in enumerate(commands):
            with open(source, "wb") as file:
                file.write(text(number))
            shutil.copy(source, place.path("moved"))
            path = os.path.join(work, f"m{number}.eml")
            run("bash", "-ec", command.format(path).replace("source", source).replace("moved", place.path("moved"))
                .replace(".x.part", os.path.join(work, "x.part")))
        found = on_server(server, "Work", len(commands))
        assert bodies(found) == sorted(text(number) for number in range(len(commands)))
        assert wait_for(lambda: all(is_uploaded(os.path.join(work, f"m{n}.eml")) for n in range(len(commands))))
        assert sorted(listed(work)) == sorted(f"m{n}.eml" for n in range(len(commands))), listed(work)
        time.sleep(1)
        assert len(fetch_mailbox(server, "Work")) == len(commands)


@test("bare LF becomes CRLF, and the file says so")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        path = os.path.join(mount, "Work", "lf.eml")
        with open(path, "wb") as file:
            file.write(text(1, end="\n"))
        assert os.stat(path).st_size == len(text(1)) and read(path) == text(1)
        (message,) = on_server(server, "Work", 1).values()
        assert message.data == text(1)


@test("what is no message is refused at close, kept, and says why")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        path = os.path.join(mount, "Work", "photo.jpg")
        file = open(path, "wb")
        file.write(b"\xff\xd8\xff\xe0" + bytes(5000))
        fails(errno.EINVAL, file.close)
        assert os.getxattr(path, "user.mailfs.status").startswith(b"refused"), os.getxattr(path, "user.mailfs.status")
        assert os.stat(path).st_size == 5004
        done = run("cp", path, os.path.join(mount, "Work", "other"), code=1)
        assert b"Invalid argument" in done.stderr, done
        os.unlink(path)
        os.unlink(os.path.join(mount, "Work", "other"))
        assert listed(os.path.join(mount, "Work")) == [] and fetch_mailbox(server, "Work") == {}


@test("names of editors and copiers stay local until they are renamed")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        work = os.path.join(mount, "Work")
        local = [".hidden.eml", "#x.eml#", "x.eml~", ".x.swp", "x.tmp", "x.part", "x.bak", "x.lock"]
        for name in local:
            with open(os.path.join(work, name), "wb") as file:
                file.write(text(name))
        assert sorted(listed(work)) == sorted(local)
        time.sleep(1.5)
        assert fetch_mailbox(server, "Work") == {}
        os.rename(os.path.join(work, "x.tmp"), os.path.join(work, "x.eml"))
        (message,) = on_server(server, "Work", 1).values()
        assert message.data == text("x.tmp")
        for name in local:
            if name != "x.tmp":
                os.unlink(os.path.join(work, name))
        assert wait_for(lambda: listed(work) == ["x.eml"]), listed(work)


@test("a received message cannot be written to, linked, truncated or made another's")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        inbox = os.path.join(mount, "INBOX")
        path = os.path.join(inbox, listed(inbox)[0])
        before = read(path)
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_CREAT):
            fails(errno.EPERM, lambda: os.open(path, flags))
        fails(errno.EPERM, lambda: os.truncate(path, 0))
        fails(errno.EPERM, lambda: os.chmod(path, 0o644))
        fails(errno.EPERM, lambda: os.chown(path, 12345, -1))
        fails(errno.EPERM, lambda: os.link(path, path + "2.eml"))
        fails(errno.EPERM, lambda: os.symlink("x", os.path.join(inbox, "link")))
        fails(errno.EPERM, lambda: open(os.path.join(mount, "file"), "wb"))
        fails(errno.EPERM, lambda: open(os.path.join(mount, ".text", "INBOX", "file"), "wb"))
        date = os.stat(path).st_mtime
        run("touch", path)
        os.chmod(path, 0o600)
        os.utime(path, (1, 1))
        assert os.stat(path).st_mtime == date and read(path) == before


@test("fsync waits for the server, close does not; O_EXCL and O_TRUNC do what they say")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        path = os.path.join(mount, "Work", "a.eml")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fails(errno.EEXIST, lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.write(fd, b"x" * 100000)
        os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
        assert os.stat(path).st_size == 0
        os.pwrite(fd, text(1), 0)
        assert os.stat(path).st_size == len(text(1))
        os.close(fd)
        run("sync", os.path.dirname(path))
        assert bodies(fetch_mailbox(server, "Work")) == [text(1)]


@test("rsync restores a mailbox: names, bytes, dates; a second time it is idle")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(300, 2000, mailbox=("Bulk",)))
        server.start()
        with place.mount(server) as mount:
            backup = place.path("backup")
            run("rsync", "-a", os.path.join(mount, "Bulk") + "/", backup + "/")
            os.mkdir(os.path.join(mount, "Restored"))
            run("rsync", "-a", backup + "/", os.path.join(mount, "Restored") + "/")
            source, copy = fetch_mailbox(server, "Bulk"), on_server(server, "Restored", 300, 60)
            assert bodies(source) == bodies(copy)
            assert sorted((m.data, m.date) for m in source.values()) == sorted((m.data, m.date) for m in copy.values())
            assert sorted(listed(os.path.join(mount, "Restored"))) == sorted(listed(os.path.join(mount, "Bulk")))
            done = run("rsync", "-ai", backup + "/", os.path.join(mount, "Restored") + "/")
            assert done.stdout == b"", done.stdout[:500]
        place.forget()
        with place.mount(server) as mount:
            done = run("rsync", "-ai", backup + "/", os.path.join(mount, "Restored") + "/")
            assert b".eml" not in done.stdout, done.stdout[:500]
            assert len(fetch_mailbox(server, "Restored")) == 300


@test("tar, git's index and cp -a write whole trees")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        tree = place.path("tree")
        for folder in ("one", "one/two", "three"):
            os.mkdir(os.path.join(tree, folder)) if os.path.isdir(tree) else os.makedirs(os.path.join(tree, folder))
            for number in range(3):
                with open(os.path.join(tree, folder, f"m{number}.eml"), "wb") as file:
                    file.write(text(f"{folder}-{number}"))
                os.utime(os.path.join(tree, folder, f"m{number}.eml"), (1600000000 + number, 1600000000 + number))
        run("tar", "cf", place.path("tree.tar"), "-C", tree, ".")
        os.mkdir(os.path.join(mount, "Tar"))
        run("tar", "xf", place.path("tree.tar"), "-C", os.path.join(mount, "Tar"))
        run("cp", "-a", tree, os.path.join(mount, "Copied"))
        for top in ("Tar", "Copied"):
            for folder in ("one", "one/two", "three"):
                found = on_server(server, f"{top}/{folder}", 3)
                assert sorted((m.data, m.date) for m in found.values()) == sorted(
                    (text(f"{folder}-{n}"), 1600000000 + n) for n in range(3))


@test("editors write new messages, and leave nothing else behind")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        work = os.path.join(mount, "Work")
        count = 0
        env = place.environment(TERM="xterm")
        with open(place.path("body"), "wb") as file:
            file.write(text("edited", end="\n"))
        if shutil.which("vim"):
            run("vim", "-N", "-u", "NONE", "-es", "-c", f"read {place.path('body')}", "-c", "1d", "-c", "wq", os.path.join(work, "vim.eml"),
                env=env)
            count += 1
        if shutil.which("emacs"):
            run("emacs", "-Q", "--batch", "--eval", f'(progn (find-file "{work}/emacs.eml") (insert-file-contents "{place.path("body")}") '
                "(save-buffer))", env=env)
            count += 1
        if shutil.which("nano"):
            # Read the body, write, leave.
            typist(place, f"nano --ignorercfiles -r 0 {work}/nano.eml", f"\x12{place.path('body')}\r", "\x0f\r", "\x18")
            count += 1
        run("bash", "-c", f"sed 's/edited/sed/' < {place.path('body')} > {work}/sed.eml")
        count += 1
        on_server(server, "Work", count)
        assert wait_for(lambda: len(os.listdir(work)) == count), os.listdir(work)


@test("editors replace a draft: one message, the new one, and nothing of the old")
def _():
    with empty_server("Drafts") as server, Place() as place, place.mount(server, "delete=expunge") as mount:
        drafts = os.path.join(mount, "Drafts")
        path = os.path.join(drafts, "draft.eml")
        env = place.environment(TERM="xterm")
        with open(path, "wb") as file:
            file.write(text("a"))
        on_server(server, "Drafts", 1)
        assert wait_for(lambda: is_uploaded(path))
        edits = [("cat", ["bash", "-c", f"sed s/hello/cat/ '{path}' > {place.path('t')}; cat {place.path('t')} > '{path}'"]),
                 ("cp", ["bash", "-c", f"sed s/cat/cp/ '{path}' > {place.path('t')}; cp {place.path('t')} '{path}'"]),
                 ("sed", ["sed", "-i", "s/cp/sed/", path]),
                 ("mv", ["bash", "-c", f"sed s/sed/mv/ '{path}' > {place.path('t')}; mv -f {place.path('t')} '{path}'"]),
                 ("append", ["bash", "-c", f"echo append >> '{path}'"])]
        if shutil.which("vim"):
            edits.append(("vim", ["vim", "-N", "-u", "NONE", "-es", "-c", "%s/append/vim/", "-c", "wq", path]))
        if shutil.which("emacs"):
            edits.append(("emacs", ["emacs", "-Q", "--batch", "--eval", f'(progn (find-file "{path}") (while (search-forward "vim" nil t) '
                          '(replace-match "emacs")) (save-buffer))']))
        for word, command in edits:
            run(*command, env=env)

            def replaced():
                found = list(fetch_mailbox(server, "Drafts").values())
                return len(found) == 1 and word.encode() in found[0].data
            assert wait_for(replaced, 15), (word, fetch_mailbox(server, "Drafts"), os.listdir(drafts))
            assert wait_for(lambda: is_uploaded(path) and os.listdir(drafts) == ["draft.eml"]), (word, os.listdir(drafts))
            assert word.encode() in read(path)
        before = uid_of(path)
        # Also one right after the other, while the name still leads to the file of the one before.
        for _ in range(20):
            run("touch", path)
            for _ in range(5):
                os.close(os.open(path, os.O_RDWR))
        time.sleep(1.5)
        assert uid_of(path) == before


@test("Maildir delivery arrives: python, and mutt's save")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        top = os.path.join(mount, ".maildir", "Work")
        box = maildirs.Maildir(top, create=False)
        message = maildirs.MaildirMessage(text("python"))
        box.add(message)
        message.set_subdir("cur")
        message.set_flags("FS")
        box.add(message)
        found = on_server(server, "Work", 2)
        assert sorted(sorted(m.flags) for m in found.values()) == [[], ["\\Flagged", "\\Seen"]], [m.flags for m in found.values()]
        assert wait_for(lambda: len(os.listdir(os.path.join(top, "cur"))) == 1 and len(os.listdir(os.path.join(top, "new"))) == 1), \
            (os.listdir(os.path.join(top, "cur")), os.listdir(os.path.join(top, "new")))
        assert os.listdir(os.path.join(top, "tmp")) == []


@test("mutt saves a message into another Maildir, and deletes it here")
def _():
    if shutil.which("mutt") is None:
        raise Skip("mutt is not installed")
    with empty_server() as server, Place() as place, place.mount(server, "delete=expunge") as mount:
        top = os.path.join(mount, ".maildir")
        before = bodies(fetch_mailbox(server, "INBOX"))
        typist(place, f"mutt -n -F /dev/null -e 'set folder=. confirmappend=no delete=yes wait_key=no mark_old=no move=no sort=mailbox-order' "
               f"-f '{top}/INBOX'", f"s\x15{top}/Work\r", "q")
        found = on_server(server, "Work", 1)
        assert wait_for(lambda: len(fetch_mailbox(server, "INBOX")) == 1)
        # mutt adds headers of its own.
        after = bodies(found) + bodies(fetch_mailbox(server, "INBOX"))
        assert sorted(data.split(b"\r\n")[0] for data in after) == sorted(data.split(b"\r\n")[0] for data in before)


@test("what is closed survives SIGKILL and goes to the server after the next mount")
def _():
    with empty_server() as server, Place() as place:
        with place.mount(server, unmount=False) as mount:
            assert listed(os.path.join(mount, "Work")) == []
            server.pause()
            for number in range(20):
                with open(os.path.join(mount, "Work", f"m{number}.eml"), "wb") as file:
                    file.write(text(number))
            for pid in processes(mount):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not processes(mount))
            server.resume()
        with place.mount(server) as mount:
            found = on_server(server, "Work", 20, 60)
            assert bodies(found) == sorted(text(number) for number in range(20))
            assert wait_for(lambda: sorted(listed(os.path.join(mount, "Work"))) == sorted(f"m{n}.eml" for n in range(20)))


@test("what a killed program leaves behind is no message until it is written anew")
def _():
    with empty_server() as server, Place() as place, place.mount(server) as mount:
        path = os.path.join(mount, "Work", "half.eml")
        with open(place.path("half"), "wb") as file:
            file.write(text(1))
        for how in (signal.SIGINT, signal.SIGKILL):
            writer = subprocess.Popen(
                ["python3", "-c", "import signal,sys,time; signal.signal(signal.SIGINT, signal.SIG_DFL); f=open(sys.argv[1],'wb',0); "
                 "f.write(open(sys.argv[2],'rb').read()); print(flush=True); time.sleep(100)", path, place.path("half")],
                stdout=subprocess.PIPE)
            writer.stdout.readline()
            writer.send_signal(how)
            writer.communicate()
            time.sleep(1.5)
            assert fetch_mailbox(server, "Work") == {} and read(path) == text(1)
        with open(path, "wb") as file:
            file.write(text(2))
        assert bodies(on_server(server, "Work", 1)) == [text(2)]


@test("umount waits for what is on its way")
def _():
    with empty_server() as server, Place() as place:
        with place.mount(server) as mount:
            for number in range(200):
                with open(os.path.join(mount, "Work", f"m{number}.eml"), "wb") as file:
                    file.write(text(number))
        assert len(fetch_mailbox(server, "Work")) == 200



main()
