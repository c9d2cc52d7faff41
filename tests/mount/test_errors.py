# SPDX-License-Identifier: MIT
"""A mount that cannot be: its exit code, and one line that says what to do. And the ways to give a password."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

from common import MAILFS, Dovecot, Place, fingerprint, folders, free_ports, is_mounted, main, processes, read, samples, test

USAGE, MOUNTPOINT, HOST, OFFLINE, PROTOCOL, LOGIN, CONFIG = 64, 66, 68, 69, 76, 77, 78


def refused(place, code, *arguments, says=(), timeout=30, **rest):
    """mailfs ends with @code and one line holding each of @says, and nothing is mounted or left running."""
    started = time.monotonic()
    done = place.mailfs(*arguments, timeout=timeout, **rest)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, f"exit {done.returncode}, not {code}: {done.stderr}"
    assert len(lines) == 1, f"not one line: {done.stderr!r}"
    for word in says:
        assert word.lower() in lines[0].lower(), f"{word!r} is not in: {lines[0]}"
    if "/" in " ".join(arguments):
        assert not processes(place.directory), "a process stayed"
    print(f"# {code}: {lines[0]} ({time.monotonic() - started:.1f} s)")
    return lines[0]


def sample_server(**settings):
    server = Dovecot(**settings)
    server.fill(samples.bulk_mail(3, 1000, mailbox=("INBOX",)))
    return server.start()


@test("wrong password: 77, and the server is asked once")
def _():
    with sample_server(mechanisms="plain login") as server, Place() as place:
        refused(place, LOGIN, server.url(), place.mountpoint(), "-o", f"tls-ca={server.ca}", password="wrong",
                says=("alice",))
        time.sleep(1)
        attempts = server.count_log(r"auth failed, [1-9]")
        assert attempts == 1, attempts
        assert server.count_log(r"auth failed, 1 attempts") == 1


@test("wrong password by SCRAM and CRAM-MD5: 77")
def _():
    for mechanism in ("scram-sha-256", "cram-md5"):
        with sample_server(mechanisms=mechanism) as server, Place() as place:
            refused(place, LOGIN, server.url(), place.mountpoint(), "-o", f"tls-ca={server.ca}", password="wrong")


@test("every mechanism the server may insist on logs in")
def _():
    for mechanism in ("plain", "login", "scram-sha-256", "cram-md5", "plain login cram-md5 scram-sha-256"):
        with sample_server(mechanisms=mechanism) as server, Place() as place:
            with place.mount(server) as mount:
                assert folders(mount) == ["INBOX"]
            if mechanism == "plain login cram-md5 scram-sha-256":
                assert server.count_log(r"method=SCRAM-SHA-256") > 0, "the strongest one was not taken"


@test("unknown host: 68")
def _():
    with Place() as place:
        refused(place, HOST, "imap://alice@nosuchhost.invalid/", place.mountpoint(), password="x",
                says=("nosuchhost.invalid",))


@test("closed port: 69")
def _():
    with Place() as place:
        port = free_ports(1)[0]
        refused(place, OFFLINE, f"imap://alice@localhost:{port}/", place.mountpoint(), password="x",
                says=("localhost", "refused"))


@test("a server that never answers: 69 or a timeout's code, within the timeout")
def _():
    with sample_server() as server, Place() as place:
        server.pause()
        started = time.monotonic()
        refused(place, OFFLINE, server.url(), place.mountpoint(), "-o", f"timeout=2,tls-ca={server.ca}", password="x")
        assert time.monotonic() - started < 8
        server.resume()


@test("self-signed certificate: 76, and the line gives the fingerprint and the option that would help")
def _():
    with sample_server() as server, Place() as place:
        for name in ("pem", "key"):
            shutil.copyfile(server.path(f"selfsigned.{name}"), server.path(f"server.{name}"))
        server.restart()
        pin = fingerprint(server.path("server.pem"))
        for url in (server.url(), server.url(tls=True)):
            line = refused(place, PROTOCOL, url, place.mountpoint(), password=server.password, says=("tls-fingerprint",))
            assert pin in line.replace(":", "").lower(), line
        assert server.count_log(r"method=") == 0, "a login was tried"
        with mounted_with(place, server, f"tls-fingerprint=sha256:{pin}") as mount:
            assert folders(mount) == ["INBOX"]
        refused(place, PROTOCOL, server.url(), place.mountpoint(), "-o", "tls-fingerprint=sha256:" + "0" * 64,
                password=server.password)


def mounted_with(place, server, options, **rest):
    """place.mount() with just these options."""
    class Mounted:
        def __enter__(self):
            self.path = place.mountpoint()
            done = place.mailfs(rest.pop("url", None) or server.url(), self.path, *(["-o", options] if options else []),
                                **{"password": server.password, **rest})
            assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
            assert is_mounted(self.path)
            return self.path

        def __exit__(self, kind, *_):
            if kind is None:
                place.unmount(self.path)
    return Mounted()


@test("a certificate of an unknown authority, and one for another name: 76")
def _():
    with sample_server(config="listen = 127.0.0.1, 127.0.0.2\n") as server, Place() as place:
        refused(place, PROTOCOL, server.url(), place.mountpoint(), password=server.password, says=("tls-ca",))
        for tls in (False, True):
            refused(place, PROTOCOL, server.url(tls, "127.0.0.2"), place.mountpoint(), "-o", f"tls-ca={server.ca}",
                    password=server.password, says=("127.0.0.2",))
        with mounted_with(place, server, f"tls-ca={server.ca}", url=server.url(True, "127.0.0.1")) as mount:
            assert folders(mount) == ["INBOX"]


@test("a server without STARTTLS: 76, and no password was sent")
def _():
    with sample_server(ssl="no") as server, Place() as place:
        refused(place, PROTOCOL, server.url(), place.mountpoint(), "-o", f"tls-ca={server.ca}", password=server.password)
        assert server.count_log(r"method=") == 0


@test("a plain-text port spoken to as imaps: 76")
def _():
    with sample_server() as server, Place() as place:
        refused(place, PROTOCOL, f"imaps://alice@localhost:{server.port}/", place.mountpoint(), "-o",
                f"tls-ca={server.ca},timeout=5", password=server.password)


@test("tls=none to a host that is not this machine: 78, before any connection")
def _():
    with Place() as place:
        refused(place, CONFIG, "imap://alice@192.0.2.1/", place.mountpoint(), "-o", "tls=none", password="x",
                says=("tls=none",), timeout=5)


@test("mountpoint absent, or a file: 66")
def _():
    with sample_server() as server, Place() as place:
        options = ("-o", f"tls-ca={server.ca}")
        refused(place, MOUNTPOINT, server.url(), place.path("nowhere"), *options, password=server.password,
                says=("nowhere",))
        with open(place.path("file"), "w", encoding="ascii"):
            pass
        refused(place, MOUNTPOINT, server.url(), place.path("file"), *options, password=server.password)


@test("usage: 64")
def _():
    with Place() as place:
        for arguments in ((), ("imap://alice@localhost/",), ("--nonsense",), ("umount",),
                          ("imap://alice@localhost/", place.mountpoint(), "-o", "nonsense=1"),
                          ("imap://alice@localhost/", place.mountpoint(), "one-too-many")):
            done = place.mailfs(*arguments, password="x")
            assert done.returncode == USAGE, f"{arguments}: exit {done.returncode}: {done.stderr}"
            assert done.stderr.strip(), arguments


@test("--help and --version answer on standard output, also for a verb")
def _():
    with Place() as place:
        for arguments in (("--help",), ("--version",), ("umount", "--help"), ("status", "--help")):
            done = place.mailfs(*arguments)
            assert done.returncode == 0 and done.stdout.strip(), (arguments, done)
        assert re.search(r"\d+\.\d+", place.mailfs("--version").stdout)


@test("config: unknown account, bad values, an unknown word, a broken file: 78")
def _():
    with sample_server() as server, Place() as place:
        mount = place.mountpoint()
        refused(place, CONFIG, "work", mount, password="x", says=("work",))
        place.write_config(f"[account home]\nsource={server.url()}\n")
        refused(place, CONFIG, "work", mount, password="x", says=("work",))
        for line in ("timeout=soon", "connections=0", "cache-size=lots", "nonsense=1", "tls=maybe", "names=what",
                     "tls-fingerprint=md5:00", "tls-ca=/nowhere/ca.pem"):
            place.write_config(f"[account work]\nsource={server.url()}\n{line}\n")
            refused(place, CONFIG, "work", mount, password="x", says=(line.split("=")[0],))
        place.write_config("[account work\nsource=\n")
        refused(place, CONFIG, "work", mount, password="x", says=("config",))


@test("a config that others may write, or that holds a password others may read: 78")
def _():
    with sample_server() as server, Place() as place:
        mount = place.mountpoint()
        text = f"[account work]\nsource={server.url()}\ntls-ca={server.ca}\n"
        for mode in (0o620, 0o602, 0o666):
            place.write_config(text, mode)
            refused(place, CONFIG, "work", mount, password=server.password, says=("chmod",))
        for mode in (0o640, 0o604, 0o644):
            place.write_config(text + f"password={server.password}\n", mode)
            refused(place, CONFIG, "work", mount, says=("chmod",))
        place.write_config(text, 0o644)
        with mounted_with(place, server, "", url="work") as path:
            assert folders(path) == ["INBOX"]


@test("the password comes from the config, from password-command, or from MAILFS_PASSWORD")
def _():
    with sample_server() as server, Place() as place:
        text = f"[account work]\nsource={server.url()}\ntls-ca={server.ca}\n"
        place.write_config(text + f"password={server.password}\n")
        with mounted_with(place, server, "", url="work", password=None) as mount:
            assert folders(mount) == ["INBOX"]
        with open(place.path("secret"), "w", encoding="ascii") as file:
            file.write(f"{server.password}\nsecond line\n")
        place.write_config(text + f"password-command=cat {place.path('secret')}\n")
        with mounted_with(place, server, "", url="work", password=None) as mount:
            assert folders(mount) == ["INBOX"]
        place.write_config(text + "password-command=false\n")
        refused(place, CONFIG, "work", place.mountpoint(), says=("password-command",))
        place.write_config(text)
        with mounted_with(place, server, "", url="work") as mount:
            assert folders(mount) == ["INBOX"]


@test("the password stands in no argument, environment or log of the running program")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            pids = processes(place.directory)
            assert pids
            for pid in pids:
                for name in ("cmdline", "environ"):
                    try:
                        data = read(f"/proc/{pid}/{name}")
                    except PermissionError:  # not even its owner may look
                        continue
                    assert server.password.encode() not in data, name
            log = subprocess.run(["cat", os.path.join(mount, ".mailfs", "log")], capture_output=True, check=True).stdout
            assert server.password.encode() not in log
        for folder, _, names in os.walk(place.directory):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    assert server.password.encode() not in file.read(), name


@test("a password in the URL is refused, and not repeated")
def _():
    with sample_server() as server, Place() as place:
        done = place.mailfs(f"imap://alice:hunter2@localhost:{server.port}/", place.mountpoint())
        assert done.returncode in (USAGE, CONFIG), done
        assert "hunter2" not in done.stderr, done.stderr


def on_a_terminal(place, arguments, answer):
    """Runs mailfs on a terminal of its own, types @answer when asked; (exit code, what the terminal showed)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(MAILFS, [MAILFS, *arguments], place.environment())
    shown, typed = b"", False
    while select.select([terminal], [], [], 30)[0]:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
        if not typed and b"assword" in shown:
            typed = True
            time.sleep(0.2)
            os.write(terminal, answer.encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@test("a terminal is asked for the password, and does not show it")
def _():
    with sample_server() as server, Place() as place:
        mount = place.mountpoint()
        code, shown = on_a_terminal(place, [server.url(), mount, "-o", f"tls-ca={server.ca}"], server.password)
        assert code == 0, (code, shown)
        assert server.password not in shown
        assert folders(mount) == ["INBOX"]
        place.unmount(mount)


@test("without a password and without a terminal it says how to give one")
def _():
    with sample_server() as server, Place() as place:
        done = place.mailfs(server.url(), place.mountpoint(), "-o", f"tls-ca={server.ca}", timeout=20)
        assert done.returncode in (LOGIN, CONFIG), done
        assert "password" in done.stderr


@test("a user name with an @ is percent-encoded in the URL")
def _():
    with sample_server(user="alice@example.org") as server, Place() as place:
        assert "alice%40example.org@" in server.url()
        with place.mount(server) as mount:
            assert folders(mount) == ["INBOX"]


main()
