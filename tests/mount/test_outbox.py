# SPDX-License-Identifier: MIT
"""What is written into Outbox is sent: by every program, once, through crashes, to a real relay."""
import contextlib
import email
import errno
import json
import os
import shutil
import subprocess
import time

from common import (Exim, Place, append, empty_server, fails, fetch_mailbox, listed, main, on_server, processes, read, run, test,
                    wait_for)


def letter(number, to="bob@example.org", end="\n", more=()):
    return end.join([f"To: {to}", f"Subject: letter {number}", *more, "", f"This is letter {number}.", ""]).encode()


def subjects(messages):
    return sorted(email.message_from_bytes(message)["Subject"] for message in messages)


class Sending:
    """A server, a relay, and the account mounted with an outbox."""

    def __init__(self, server, relay, place, options):
        self.server, self.relay, self.place = server, relay, place
        self.options = [f"smtp={relay.url()}", "address=alice@example.org", *options]

    def mount(self, *options, **rest):
        return self.place.mount(self.server, *self.options, *options, **rest)

    def arrived(self, count, name="bob", timeout=20):
        """The subjects of what @name got, as soon as there are @count."""
        wait_for(lambda: len(self.relay.delivered(name)) >= count, timeout)
        return subjects(self.relay.delivered(name))


@contextlib.contextmanager
def sending(*options, **settings):
    with empty_server("Drafts", "Sent") as server, Exim(server, **settings) as relay, Place() as place:
        relay.start()
        yield Sending(server, relay, place, ["save-sent=yes", "hold=0", *options])


def out(mount, *names):
    return os.path.join(mount, "Outbox", *names)


def status(path):
    try:
        return os.getxattr(path, "user.mailfs.status").decode()
    except FileNotFoundError:
        return "gone"


def is_empty(mount):
    """Nothing of the outbox is left."""
    return wait_for(lambda: not listed(out(mount)), 20)


@test("what is written is sent to all it names, without Bcc; a copy with it is in Sent")
def _():
    with sending() as setting, setting.mount("hold=1") as mount:
        with open(out(mount, "x.eml"), "wb") as file:
            file.write(letter(1, more=("Bcc: carol@example.org", "Cc: Bob <bob@example.org>")))
        assert "held until" in status(out(mount, "x.eml")), status(out(mount, "x.eml"))
        assert read(out(mount, "x.eml")).endswith(b"\n\nThis is letter 1.\n"), "the file is as it was written while it is held"
        assert setting.arrived(1) == setting.arrived(1, "carol") == ["letter 1"]
        (got,) = setting.relay.delivered("bob")
        message = email.message_from_bytes(got)
        assert message["From"] == "alice@example.org" and message["Date"] and message["MIME-Version"] == "1.0", got
        assert b"carol" not in got.split(b"MIME-Version")[1] and b"\nBcc" not in got, got
        (copy,) = on_server(setting.server, "Sent", 1).values()
        assert b"\r\nBcc: carol@example.org\r\n" in copy.data and "\\Seen" in copy.flags, copy.data
        assert email.message_from_bytes(copy.data)["Message-ID"] == message["Message-ID"]
        assert is_empty(mount) and not listed(out(mount, "failed"))
        assert wait_for(lambda: any("letter-1" in name for name in listed(os.path.join(mount, "Sent"))))


WAYS = [
    "cat source > {0}", "{{ head -n 3 source; sleep 0.4; tail -n +4 source; }} > {0}", "( cat source ) > {0}",
    "head -n 3 source > {0}; sleep 0.3; tail -n +4 source >> {0}", "tee {0} < source > /dev/null", "cp source {0}",
    "install -m 644 source {0}", "dd if=source of={0} bs=40 2>/dev/null", "rsync -a source {0}", "mv source {0}",
    "exec 3>{0}; head -n 2 source >&3; sleep 0.3; tail -n +3 source >&3; exec 3>&-",
    "cp source {1}/.x.part && mv {1}/.x.part {0}", "cp -p source {0}",
    "python3 -c 'import shutil,sys; shutil.copy2(\"source\", sys.argv[1])' {0}",
    "python3 -c 'import os,sys; f=open(sys.argv[1],\"wb\"); f.write(open(\"source\",\"rb\").read()); f.flush(); "
    "os.fsync(f.fileno()); f.close()' {0}",
    "vim -N -u NONE -es -c 'read source' -c wq {0} < /dev/null",
    "emacs -Q --batch --eval '(let ((from (expand-file-name \"source\"))) (find-file \"{0}\") (insert-file-contents from) "
    "(save-buffer))' 2>/dev/null",
    # Two writers: the last one to close decides.
    "{{ head -n 3 source; sleep 0.6; }} > {0} & sleep 0.2; tail -n +4 source >> {0}; wait",
]


@test("shells, copiers, editors and python send whole messages, once each")
def _():
    with sending() as setting, setting.mount("hold=1") as mount:
        ways = [way for way in WAYS if shutil.which(way.split()[0]) or way[0] in "{(eh"]
        started = []
        for number, way in enumerate(ways):
            folder = setting.place.path(f"way{number}")
            os.mkdir(folder)
            with open(os.path.join(folder, "source"), "wb") as file:
                file.write(letter(100 + number))
            command = way.format(out(mount, f"m{number}.eml"), out(mount))
            started.append((command, subprocess.Popen(["bash", "-c", command], cwd=folder, env=setting.place.environment())))
        for command, process in started:
            assert process.wait(60) == 0, command
        assert setting.arrived(len(ways)) == [f"letter {100 + n}" for n in range(len(ways))]
        for message in setting.relay.delivered("bob"):
            number = email.message_from_bytes(message)["Subject"].split()[1]
            assert message.endswith(f"\n\nThis is letter {number}.\n".encode()), message
        assert is_empty(mount), os.listdir(out(mount))
        assert len(setting.relay.delivered("bob")) == len(ways)


@test("what is being written, has a temporary name, or is taken back in time is not sent")
def _():
    with sending() as setting, setting.mount("hold=2") as mount:
        for name in (".x.eml.swp", "x.eml~", "#x.eml#", "x.tmp", "sedAb1xYz"):
            with open(out(mount, name), "wb") as file:
                file.write(letter(name))
        for name in ("undo.eml", "moved.eml", "edited.eml"):
            with open(out(mount, name), "wb") as file:
                file.write(letter(name))
        os.unlink(out(mount, "undo.eml"))
        run("mv", out(mount, "moved.eml"), os.path.join(mount, "Drafts"))
        slow = open(out(mount, "slow.eml"), "wb")
        slow.write(letter("slow"))
        slow.flush()
        os.fsync(slow.fileno())
        with open(out(mount, "edited.eml"), "wb") as file:
            file.write(letter("edited anew"))
        assert setting.arrived(1) == ["letter edited anew"]
        slow.write(b"and on\n")
        slow.close()
        assert setting.arrived(2) == ["letter edited anew", "letter slow"]
        assert setting.relay.delivered("bob")[1].endswith(b"and on\n")
        assert on_server(setting.server, "Drafts", 1)
        assert listed(out(mount)) == [".x.eml.swp", "x.eml~", "#x.eml#", "x.tmp", "sedAb1xYz"], listed(out(mount))
        for name in listed(out(mount)):
            os.unlink(out(mount, name))


@test("a draft that is moved there is sent, and is a draft no more")
def _():
    with sending() as setting:
        append(setting.server, "Drafts", letter(7, end="\r\n"))
        line = setting.server.client()
        line.create("Trash")
        line.logout()
        with setting.mount() as mount:
            (name,) = listed(os.path.join(mount, "Drafts"))
            run("mv", os.path.join(mount, "Drafts", name), out(mount))
            assert listed(os.path.join(mount, "Drafts")) == []
            assert setting.arrived(1) == ["letter 7"]
            assert is_empty(mount)
        assert not fetch_mailbox(setting.server, "Drafts")


@test("close tells what cannot be sent, and the outbox's own directories stay")
def _():
    with sending("send-to=*@example.org") as setting:
        with setting.mount() as mount:
            def write(data):
                with open(out(mount, "bad.eml"), "wb") as file:
                    file.write(data)

            fails(errno.EDESTADDRREQ, lambda: write(b"Subject: nobody\n\nx\n"))
            assert "refused" in status(out(mount, "bad.eml"))
            fails(errno.EINVAL, lambda: write(b"no message at all\n"))
            fails(errno.EINVAL, lambda: write(letter(1, to="bob@@example.org")))
            fails(errno.EACCES, lambda: write(letter(1, to="eve@example.com")))
            os.unlink(out(mount, "bad.eml"))
            fails(errno.EPERM, lambda: os.rmdir(out(mount, "failed")))
            fails(errno.EPERM, lambda: os.mkdir(out(mount, "more")))
            fails(errno.EPERM, lambda: os.rename(out(mount), os.path.join(mount, "Other")))
            fails(errno.EEXIST, lambda: os.mkdir(out(mount)))
        with setting.place.mount(setting.server) as mount:
            fails(errno.EOPNOTSUPP, lambda: open(out(mount, "x.eml"), "wb"))
        with setting.mount("outbox=none") as mount:
            assert not os.path.exists(out(mount))
        assert setting.relay.delivered("bob") == []


@test("what is refused is in failed with a page that says why; moved back it goes with the same Message-ID")
def _():
    with sending() as setting:
        setting.relay.answer("rcpt", "carol@example.org", "550 5.1.1 carol has left")
        with setting.mount() as mount:
            with open(out(mount, "x.eml"), "wb") as file:
                file.write(letter(3, to="bob@example.org, carol@example.org"))
            assert wait_for(lambda: listed(out(mount, "failed")) == ["x.eml", "x.eml.why"], 20), os.listdir(out(mount, "failed"))
            why = read(out(mount, "failed", "x.eml.why")).decode()
            assert "carol@example.org" in why and "550 5.1.1 carol has left" in why and "What to do" in why, why
            assert status(out(mount, "failed", "x.eml")).startswith("failed: 550 5.1.1")
            assert listed(out(mount)) == [] and setting.relay.delivered("bob") == []
            report = read(os.path.join(mount, ".mailfs", "status"))
            assert b"1 in failed/" in report, report
            sent = email.message_from_bytes(read(out(mount, "failed", "x.eml")))["Message-ID"]
        setting.relay.answer("rcpt", "carol@example.org", None)
        with setting.mount() as mount:
            run("mv", out(mount, "failed", "x.eml"), out(mount))
            assert setting.arrived(1) == setting.arrived(1, "carol") == ["letter 3"]
            assert email.message_from_bytes(setting.relay.delivered("bob")[0])["Message-ID"] == sent
            assert is_empty(mount) and listed(out(mount, "failed")) == []


@test("later is later, and a touch is now; a relay that is away is waited for, over a remount too")
def _():
    with sending() as setting:
        with setting.mount() as mount:
            setting.relay.answer("rcpt", "bob@example.org", "451 4.2.1 come back later")
            with open(out(mount, "x.eml"), "wb") as file:
                file.write(letter(1))
            assert wait_for(lambda: "retry" in status(out(mount, "x.eml")), 20), status(out(mount, "x.eml"))
            assert status(out(mount, "x.eml")).endswith("(451 4.2.1 come back later)"), status(out(mount, "x.eml"))
            setting.relay.answer("rcpt", "bob@example.org", None)
            setting.relay.stop()
            with open(out(mount, "y.eml"), "wb") as file:
                file.write(letter(2))
            assert wait_for(lambda: "retry" in status(out(mount, "y.eml")), 20), status(out(mount, "y.eml"))
        setting.relay.start()
        with setting.mount() as mount:
            assert setting.arrived(2) == ["letter 1", "letter 2"], subjects(setting.relay.delivered("bob"))
            assert is_empty(mount)


@test("umount sends what is held; with --now it is there in the next mount")
def _():
    with sending() as setting:
        for number, now in enumerate((False, True)):
            with setting.mount("hold=60", unmount=False) as mount:
                with open(out(mount, "x.eml"), "wb") as file:
                    file.write(letter(number))
                done = setting.place.mailfs("umount", mount, *(["--now"] if now else []))
                assert done.returncode == 0, done.stderr
                assert wait_for(lambda: not processes(mount), 30)
            assert len(setting.relay.delivered("bob")) == 1
        with setting.mount() as mount:
            assert setting.arrived(2) == ["letter 0", "letter 1"]
            assert is_empty(mount)


@test("a mount without an outbox says that letters wait for one with it, and does not wait for them itself")
def _():
    with sending() as setting:
        with setting.mount("hold=60", unmount=False) as mount:
            for number in range(2):
                with open(out(mount, f"x{number}.eml"), "wb") as file:
                    file.write(letter(number))
            assert setting.place.mailfs("umount", "--now", mount).returncode == 0
            assert wait_for(lambda: not processes(mount), 30)
        for options in (setting.options + ["outbox=none"], []):
            with setting.place.mount(setting.server, *options, unmount=False) as mount:
                log = read(os.path.join(mount, ".mailfs", "log"))
                assert b"the Outbox queue holds 2 messages that this mount does not send" in log, log
                numbers = json.loads(read(os.path.join(mount, ".mailfs", "status.json")))
                assert numbers["uploads_waiting"] == 0 and numbers["outbox_later"] == 2, numbers
                report = read(os.path.join(mount, ".mailfs", "status"))
                assert b"\noutbox      2 waiting; this mount does not send" in report, report
                done = setting.place.mailfs("umount", mount, timeout=20)
                assert done.returncode == 0 and not done.stderr, done.stderr
                assert wait_for(lambda: not processes(mount), 30)
        assert setting.relay.delivered("bob") == []
        with setting.mount() as mount:
            assert setting.arrived(2) == ["letter 0", "letter 1"]
            assert is_empty(mount)


@test("a queue that is brought back from a backup sends nothing again, with the cache or without it")
def _():
    with sending() as setting:
        backup = setting.place.path("backup")
        state = setting.place.path("state")
        with setting.mount("hold=60", unmount=False) as mount:
            with open(out(mount, "x.eml"), "wb") as file:
                file.write(letter(1))
            shutil.copytree(state, backup)
            setting.place.unmount(mount)
        assert setting.arrived(1) == ["letter 1"] and on_server(setting.server, "Sent", 1)
        for cache in (True, False):
            shutil.rmtree(state)
            shutil.copytree(backup, state)
            if not cache:
                setting.place.forget()
            with setting.mount() as mount:
                assert is_empty(mount), os.listdir(out(mount))
        on_server(setting.server, "Sent", 1)
        assert setting.arrived(1) == ["letter 1"]


main()
