#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POP3 accounts on a second real server, GNU Mailutils: with STLS, UIDL, TOP, PIPELINING and a lock that holds."""
import contextlib
import errno
import mailbox
import os
import poplib
import shutil
import subprocess
import tempfile

from common import Place, drop_pages, fails, free_ports, listed, main, read, rsync, run, test, wait_for
from pop import file_of, letter, log_of, look_again, shown
from server import make_certificates

CONFIG = """\
server 127.0.0.1:{port} {{ single-process no; }};
tls {{ ssl-certificate-file {dir}/server.pem; ssl-key-file {dir}/server.key; }};
tls-mode ondemand;
tls-file-checks {{ key-file none; cert-file none; ca-file none; }};
auth {{
  authentication clear; authentication generic;
  authorization clear; authorization virtdomain;
}};
virtdomain {{ passwd-dir {dir}/domains; }};
mailbox {{ mailbox-type maildir; }};
mandatory-locking {{ enable yes; lock-directory {dir}/lock; }};
logging {{ syslog no; }};
"""
USER, PASSWORD = "alice@example.org", "secret of alice"


class Mailutils:
    """Its pop3d, with one account whose maildrop holds letters. Mail belongs to nobody when this is root."""

    def __init__(self, letters):
        self.directory = tempfile.mkdtemp(prefix="mailfs-mailutils-")
        os.chmod(self.directory, 0o755)
        self.password, self.process = PASSWORD, None
        self.port, = free_ports(1)
        make_certificates(self.directory)
        self.ca = os.path.join(self.directory, "ca.pem")
        self.owner = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        for name in ("domains", "lock", "home"):
            os.mkdir(os.path.join(self.directory, name))
        self.maildir = mailbox.Maildir(os.path.join(self.directory, "home", "INBOX"))
        for number in range(letters):
            self.deliver(number)
        self.write_config()

    def write_config(self):
        secret = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True).stdout.strip()
        uid, gid = self.owner
        with open(os.path.join(self.directory, "domains", "example.org"), "w", encoding="ascii") as file:
            file.write(f"alice:{secret}:{uid}:{gid}:Alice:{self.directory}/home:/bin/false\n")
        with open(os.path.join(self.directory, "conf"), "w", encoding="ascii") as file:
            file.write(CONFIG.format(dir=self.directory, port=self.port))

    def deliver(self, number):
        self.maildir.add(letter(number).data.replace(b"\r\n", b"\n"))
        self.give_away()

    def give_away(self):
        for name in ("lock", "home"):
            path = os.path.join(self.directory, name)
            for folder, _, names in os.walk(path):
                for entry in (folder, *(os.path.join(folder, name) for name in names)):
                    os.chown(entry, *self.owner)

    def __enter__(self):
        self.give_away()
        pop3d = shutil.which("pop3d", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if pop3d is None:
            raise RuntimeError("mailutils-pop3d is not installed: run contrib/install")
        with open(os.path.join(self.directory, "log"), "ab") as out:
            self.process = subprocess.Popen([pop3d, f"--config-file={self.directory}/conf", "--daemon=20", "--foreground"],
                                            cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        assert wait_for(self.answers, 10), read(os.path.join(self.directory, "log")).decode()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def answers(self):
        with contextlib.suppress(OSError, poplib.error_proto):
            poplib.POP3("127.0.0.1", self.port, timeout=5).quit()
            return True
        return False

    @contextlib.contextmanager
    def phone(self):
        """Another client, which has the maildrop meanwhile. It may have to wait for it."""
        lines = []

        def is_in():
            line = poplib.POP3("127.0.0.1", self.port, timeout=10)
            line.user(USER)
            with contextlib.suppress(poplib.error_proto):
                line.pass_(PASSWORD)
                lines.append(line)
                return True
            line.close()
            return False

        assert wait_for(is_in, 15, 0.2), "the maildrop is never free"
        try:
            yield lines[0]
        finally:
            lines[0].quit()

    def messages(self):
        """As this server shows them to who has asked for UIDLs: it adds a line to the header of each."""
        with self.phone() as line:
            line.uidl()
            return [b"\r\n".join(line.retr(number + 1)[1]) + b"\r\n" for number in range(len(line.list()[1]))]

    def url(self):
        return f"pop3://{USER.replace('@', '%40')}@localhost:{self.port}/"

    def mount(self, place, *options, tls=True, **rest):
        return place.mount(self, "dir-time=1", *options, url=self.url(), tls=tls, **rest)


def can_read(path):
    with contextlib.suppress(OSError):
        return b"Letter" in read(path)
    return False


def texts(inbox):
    return sorted(read(os.path.join(inbox, name)) for name in listed(inbox))


@test("a maildrop is copied byte by byte, over STLS, and the second rsync has nothing to do")
def copied():
    with Mailutils(60) as server, Place() as place:
        expected = sorted(server.messages())
        assert len(expected) == 60
        with server.mount(place) as mount:
            names = listed(mount + "/INBOX")
            run("cp", "-a", mount + "/INBOX", place.path("copy"))
            assert texts(place.path("copy")) == expected
        with server.mount(place) as mount:
            assert listed(mount + "/INBOX") == names
            assert rsync(mount + "/INBOX", place.path("copy")) == []


@test("another client has the maildrop: who opens a message waits for it, and has it within a timeout; else it is told")
def locked():
    with Mailutils(5) as server, Place() as place, server.mount(place, "timeout=2") as mount:
        inbox = mount + "/INBOX"
        paths = [file_of(inbox, number) for number in range(5)]
        with server.phone():
            fails(errno.EBUSY, lambda: read(paths[0]))
        assert wait_for(lambda: can_read(paths[0]), 10, 0.2), log_of(mount)
        with server.phone():
            reader = subprocess.Popen(["cat", paths[1]], stdout=subprocess.PIPE)
        assert b"Letter 1" in reader.communicate(timeout=20)[0] and reader.returncode == 0


@test("rm deletes on the server, new letters come, and a remount without the server reads what was fetched")
def changed():
    with Place() as place:
        with Mailutils(6) as server:
            with server.mount(place, tls=False) as mount:
                inbox = mount + "/INBOX"
                assert shown(inbox) == [f"Letter {number}" for number in range(6)]
                os.unlink(file_of(inbox, 2))
                run("sync", inbox)
                assert not any(b"Subject: Letter 2\r\n" in text for text in server.messages())
                server.deliver(9)
                look_again(place, mount, lambda: "Letter 9" in shown(inbox))
                assert "Letter 2" not in shown(inbox), log_of(mount)
                assert texts(inbox) == sorted(server.messages())
                before = texts(inbox)
        with server.mount(place, "timeout=3", tls=False) as mount:
            assert texts(mount + "/INBOX") == before
            for name in listed(mount + "/INBOX"):
                drop_pages(os.path.join(mount, "INBOX", name))
            assert texts(mount + "/INBOX") == before


if __name__ == "__main__":
    main()
