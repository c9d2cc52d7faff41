# SPDX-License-Identifier: MIT
"""mailfs send is sendmail: for programs that know no other way, with and without a mount, and each message goes once."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from common import (Dovecot, Exim, fetch_mailbox, listed, MAILFS, main, Place, processes, read, run_umount, test,
                    wait_for)

CONFIG = """
[account work]
source = {url}
address = alice@example.org
tls-ca = {ca}
smtp = {smtp}
password = {password}
timeout = 10
save-sent = no

# Nobody listens there.
[account other]
source = {url}
address = other@example.net
tls-ca = {ca}
cache-dir = {cache}/other
smtp = smtp://nobody@127.0.0.1:9/
password = {password}
"""


class World:
    """A mail server, a relay beside it, and a home whose config names both."""

    def __init__(self, server, relay, place):
        self.server, self.relay, self.place = server, relay, place
        place.write_config(CONFIG.format(url=server.url(), cache=place.cache, ca=server.ca, smtp=relay.url(),
                                         password=server.password))

    def send(self, *arguments, message, code=0, **more):
        done = subprocess.run([MAILFS, "send", *arguments], input=message.encode(), capture_output=True, timeout=60,
                              check=False, env=self.place.environment(**more))
        assert done.returncode == code, f"{arguments}: exit {done.returncode}: {done.stderr.decode()}"
        return done.stderr.decode()

    def got(self, name, n, timeout=10):
        """What @name got, once it is @n messages."""
        found = wait_for(lambda: (lambda all: all if len(all) >= n else None)(self.relay.delivered(name)), timeout)
        assert found is not None and len(found) == n, f"{name}: {self.relay.delivered(name)}\n{self.relay.tail()}"
        return found

    def mount(self):
        return self.place.mount(self.server, url="work")


@contextlib.contextmanager
def world():
    with Dovecot() as server, Exim(server) as relay, Place() as place:
        server.start()
        relay.start()
        line = server.client()
        line.create("Sent")
        line.logout()
        yield World(server, relay, place)


def header(message):
    return message.partition(b"\n\n")[0].decode()


@test("a message goes out, without a mount, to whom its header names, and Bcc stays at home")
def _():
    with world() as w:
        said = w.send("-t", "-v", "--save-sent=yes", message="To: bob@example.org\nBcc: Carol <carol@example.org>\nSubject: x\n\nhi\n")
        assert "sent" in said, said
        message = w.got("bob", 1)[0]
        assert b"\nhi\n" in message and w.got("carol", 1)[0].endswith(b"hi\n")
        top = header(message)
        assert "Bcc" not in top and "X-Mailfs" not in top and "carol" not in top, top
        for name in ("Date: ", "From: alice@example.org", "Message-ID: <", "MIME-Version: 1.0"):
            assert top.count("\n" + name) == 1, (name, top)
        sent = [m for m in fetch_mailbox(w.server, "Sent").values() if b"Subject: x" in m.data]
        assert len(sent) == 1 and "\\Seen" in sent[0].flags, sent
        assert b"Bcc: Carol" in sent[0].data and b"X-Mailfs" not in sent[0].data


@test("a message goes through the mount that is there, at once")
def _():
    with world() as w, w.place.mount(w.server, url="work", unmount=False) as mount:
        started = time.monotonic()
        w.send("-i", "--wait", "bob@example.org", message="To: list@x.org\nSubject: y\n\nhi\n.\nho\n")
        assert w.got("bob", 1)[0].endswith(b"\nhi\n.\nho\n")
        assert listed(os.path.join(mount, "Outbox")) == []
        w.send("bob@example.org", message="no header\n.\nnot this\n")
        assert w.got("bob", 2)[1].endswith(b"\n\nno header\n")
        print(f"# {time.monotonic() - started:.2f} s")
        # Names that are UIDs elsewhere are names here.
        with open(os.path.join(mount, "Outbox", "x.tmp"), "w", encoding="ascii") as file:
            file.write("To: carol@example.org\n\n2\n")
        os.rename(os.path.join(mount, "Outbox", "x.tmp"), os.path.join(mount, "Outbox", "2.eml"))
        shutil.copy(os.path.join(mount, "Outbox", "2.eml"), os.path.join(mount, "Outbox", "3.eml"))
        assert sorted(listed(os.path.join(mount, "Outbox"))) == ["2.eml", "3.eml"]
        w.place.unmount(mount)
        assert len(w.got("carol", 2)) == 2


@test("what the relay says is the exit code, and why is in failed/")
def _():
    with world() as w:
        said = w.send("nobody@example.org", message="Subject: x\n\nhi\n", code=67)
        assert "550" in said and "nobody" in said, said
        with w.mount() as mount:
            said = w.send("--wait", "bob@elsewhere.example", message="Subject: y\n\nhi\n", code=77)
            assert "5.7.1" in said, said
            failed = os.path.join(mount, "Outbox", "failed")
            names = [name for name in listed(failed) if not name.endswith(".why")]
            assert len(names) == 2 and len(listed(failed)) == 4, listed(failed)
            pages = [open(os.path.join(failed, name + ".why"), encoding="utf-8").read() for name in names]
            assert all(page.startswith("This message was not sent to anybody.") for page in pages), pages
            # Back in Outbox it goes again, with the envelope and the Message-ID that it had.
            os.makedirs(w.server.path("home", "nobody", "mail"), exist_ok=True)
            w.server.give_away()
            name = next(n for n in names if "nobody" in header(read(os.path.join(failed, n)).replace(b"\r", b"")))
            identity = [line for line in read(os.path.join(failed, name)).splitlines() if line.startswith(b"Message-ID")]
            os.rename(os.path.join(failed, name), os.path.join(mount, "Outbox", name))
            assert identity[0] in w.got("nobody", 1)[0], identity


@test("what cannot go now is kept, and goes once with the next that can")
def _():
    with world() as w:
        w.relay.answer("rcpt", "carol@example.org", "451 4.7.1 later")
        said = w.send("--wait", "carol@example.org", message="Subject: one\n\n1\n", code=75)
        assert "451" in said or "4.7.1" in said, said
        w.send("carol@example.org", message="Subject: two\n\n2\n")
        w.relay.answer("rcpt", "carol@example.org", None)
        w.send("-q", message="")
        got = w.got("carol", 2)
        assert sorted(message[-2:] for message in got) == [b"1\n", b"2\n"], got
        w.send("-q", message="")
        assert len(w.got("carol", 2)) == 2


@test("the server of the mailboxes need not be there: the message goes, and its copy follows")
def _():
    with Dovecot() as server, Exim(server) as relay, Place() as place:
        relay.start()
        w = World(server, relay, place)
        config = server.path("dovecot.conf")
        text = read(config).replace(b"mailbox Sent {", b"mailbox Gesendet {")
        with open(config, "wb") as file:
            file.write(text)
        assert "sent" in w.send("-v", "--save-sent=yes", "bob@example.org", message="Subject: x\n\n1\n")
        w.got("bob", 1)
        relay.answer("mail", "alice@example.org", "451 4.3.0 later")
        assert "it is kept" in w.send("bob@example.org", message="Subject: y\n\n2\n")
        assert "it is kept" in w.send("--wait", "bob@example.org", message="Subject: z\n\n3\n", code=75)
        relay.answer("mail", "alice@example.org", None)
        server.start()
        line = server.client()
        line.create("Gesendet")
        line.logout()
        w.send("-q", "--save-sent=yes", message="")
        w.got("bob", 3)
        subjects = [line for m in fetch_mailbox(server, "Gesendet").values() for line in header(m.data).splitlines()
                    if line.startswith("Subject")]
        assert sorted(subjects) == ["Subject: x", "Subject: y", "Subject: z"], subjects


@test("who wants to hear of the delivery hears of it, with as much of the message as he wants")
def _():
    with world() as w:
        w.send("-N", "success", "-R", "hdrs", "-V", "my+id", "bob@example.org", message="Subject: x\n\nthe text\n")
        report = w.got("alice", 1)[0]
        assert b"Original-Envelope-ID: my+2Bid" in report and b"Action: delivered" in report, report
        assert b"Subject: x" in report and b"the text" not in report, report


@test("what cannot be sent is refused before it is queued")
def _():
    with world() as w:
        for arguments, message, code, word in (
                ([], "Subject: x\n\n", 64, "to whom"),
                (["-t"], "Subject: x\n\n", 64, "no recipient"),
                (["-t"], "To: bob\n\n", 65, "domain"),
                (["bob@example.org"], "", 65, "nothing came"),
                (["bob@example.org"], "Subject: x\n\na\0b\n", 65, "NUL"),
                (["bob@example.org", "-a", "nosuch"], "Subject: x\n\n", 78, "no account"),
                (["-bs"], "", 64, "-bs")):
            said = w.send(*arguments, message=message, code=code)
            assert word in said and said.count("\n") == 1, (arguments, said)
        assert w.relay.delivered("bob") == []


@test("the account is the one that the sender belongs to, else the first")
def _():
    with world() as w:
        w.send("bob@example.org", message="From: Alice <Alice@Example.org>\n\n1\n")
        w.send("-f", "alice@example.org", "bob@example.org", message="From: other@example.net\n\n2\n")
        w.send("bob@example.org", message="From: root (Cron Daemon)\n\n3\n")
        assert len(w.got("bob", 3)) == 3
        w.send("--wait", "bob@example.org", message="From: Other <other@example.net>\n\n4\n", code=75)


@test("sends at the same time, and a mount that begins meanwhile, get in each other's way for a moment only")
def _():
    with world() as w:
        sends = [subprocess.Popen([MAILFS, "send", "bob@example.org"], stdin=subprocess.PIPE,
                                  stderr=subprocess.PIPE, env=w.place.environment()) for _ in range(4)]
        for number, send in enumerate(sends):
            send.stdin.write(b"Subject: x\n\n%d\n" % number)
            send.stdin.close()
        with w.mount():
            for send in sends:
                assert send.wait(60) == 0, send.stderr.read()
            got = w.got("bob", 4, 30)
        assert sorted(message[-2:] for message in got) == [b"0\n", b"1\n", b"2\n", b"3\n"], got


@test("who waits is told when nothing is to be tried, and when the mount is no more")
def _():
    with world() as w:
        with w.place.mount(w.server, "smtp-password-command=echo no", url="work"):
            for _ in range(2):
                said = w.send("--wait", "bob@example.org", message="Subject: x\n\n1\n", code=75)
                assert "535" in said, said
        with socket.create_server(("127.0.0.1", 0)) as silent:
            smtp = f"smtp=smtp://alice@127.0.0.1:{silent.getsockname()[1]}"
            with w.place.mount(w.server, smtp, url="work", unmount=False) as mount:
                with subprocess.Popen([MAILFS, "send", "-v", "--wait", "bob@example.org"], stdin=subprocess.PIPE,
                                      stderr=subprocess.PIPE, env=w.place.environment()) as send:
                    send.stdin.write(b"Subject: y\n\n2\n")
                    send.stdin.close()
                    assert b"queued" in send.stderr.readline()
                    for pid in processes(mount):
                        os.kill(pid, signal.SIGKILL)
                    assert send.wait(20) == 75 and b"the mount has ended" in send.stderr.read()
                run_umount(mount, lazy=True)


@test("git send-email, mutt, mail and cron send by it")
def _():
    with world() as w, w.mount():
        sendmail = w.place.path("sendmail")
        os.symlink(MAILFS, sendmail)
        environment = w.place.environment(EMAIL="alice@example.org", MAILRC="/dev/null")

        def call(*words, text=b"", **more):
            done = subprocess.run(words, input=text, env={**environment, **more}, capture_output=True, timeout=60,
                                  check=False, cwd=w.place.directory)
            assert done.returncode == 0, (words, done.stdout, done.stderr)

        call(sendmail, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "alice",
             text=b"From: root (Cron Daemon)\nTo: alice\nSubject: Cron <alice@host> ls\n\nout\n")
        assert w.got("alice", 1)[0].endswith(b"out\n")
        expected = 0
        if shutil.which("mail"):
            call("mail", "-s", "by mail", "bob@example.org", text=b"from mail\n", MAILRC=write_rc(w, sendmail))
            expected += 1
            assert w.got("bob", expected)[-1].endswith(b"from mail\n")
        if shutil.which("mutt"):
            call("mutt", "-n", "-F", "/dev/null", "-e", f"set sendmail={sendmail} from=alice@example.org copy=no",
                 "-s", "by mutt", "-b", "carol@example.org", "bob@example.org", text=b"from mutt\n")
            expected += 1
            assert w.got("bob", expected)[-1].endswith(b"from mutt\n") and len(w.got("carol", 1)) == 1
        if shutil.which("git") and os.path.exists("/usr/lib/git-core/git-send-email"):
            send_patches(w, call, sendmail)
            subjects = [line for m in w.got("bob", expected + 2) for line in header(m).splitlines()
                        if line.startswith("Subject: [PATCH")]
            assert sorted(subjects) == ["Subject: [PATCH 1/2] one", "Subject: [PATCH 2/2] two"], subjects


def write_rc(w, sendmail):
    path = w.place.path("mailrc")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"set sendmail={sendmail}\n")
    return path


def send_patches(w, call, sendmail):
    repository = w.place.path("repository")
    for words in (["init", "-q", repository], ["-C", repository, "config", "user.name", "Alice"],
                  ["-C", repository, "config", "user.email", "alice@example.org"],
                  ["-C", repository, "commit", "-q", "--allow-empty", "-m", "zero"]):
        call("git", *words)
    for name in ("one", "two"):
        with open(os.path.join(repository, name), "w", encoding="utf-8") as file:
            file.write(name + "\n")
        call("git", "-C", repository, "add", name)
        call("git", "-C", repository, "commit", "-q", "-m", name)
    call("git", "-C", repository, "send-email", "--quiet", f"--sendmail-cmd={sendmail} -i",
         "--to=bob@example.org", "--confirm=never", "-2")


main()
