# SPDX-License-Identifier: MIT
"""What the mount tests share: a private place, mailfs mounted in it, TAP.

A test is a function under @test("the sentence it proves"). Each file ends with main(). A Place is a temporary
directory with a home, caches and mount points of its own; leaving it checks that nothing is left: no mount, no
process, no report of a sanitizer.
"""
import contextlib
import email.utils
import errno
import imaplib
import importlib.util
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPUS = os.path.join(os.path.dirname(TOP), "shared", "corpus", "mail-samples.tar.zst")
sys.path.insert(0, os.path.join(TOP, "contrib"))
import samples  # noqa: E402,F401
from relay import Exim  # noqa: E402,F401
from server import Dovecot, fingerprint, free_ports, mutf7  # noqa: E402,F401

MAILFS = os.environ.get("MAILFS", os.path.join(TOP, ".build", "gcc", "src", "mailfs"))
imaplib._MAXLINE = 1 << 26

# Names of messages by a second implementation.
_spec = importlib.util.spec_from_file_location("names", os.path.join(TOP, "tests", "unit", "names-v1.py"))
names = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(names)

_tests = []


def test(sentence):
    def add(function):
        _tests.append((sentence, function))
        return function
    return add


class Skip(Exception):
    """raise Skip("why") in a test that this machine cannot run."""


def why_not():
    """Why nothing can be mounted here, or None."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse here"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "this user may not open /dev/fuse"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "this is not root, and fusermount3 is not installed"
    return None


def main(skip=None):
    """Runs the tests (those whose sentence holds the words of the command line, when it has some)."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.umask(0o022)
    wanted = " ".join(sys.argv[1:])
    tests = [(sentence, function) for sentence, function in _tests if wanted in sentence]
    reason = why_not() or skip
    if reason:
        print(f"1..0 # SKIP {reason}")
        return
    print(f"1..{len(tests)}", flush=True)
    if not os.access(MAILFS, os.X_OK):
        sys.exit(f"there is no program at {MAILFS}: set MAILFS")
    failed = 0
    for number, (sentence, function) in enumerate(tests, 1):
        started = time.monotonic()
        try:
            function()
        except Skip as skipped:
            print(f"ok {number} - {sentence} # SKIP {skipped}", flush=True)
            continue
        except Exception:  # pylint: disable=broad-except
            failed += 1
            why = traceback.format_exc()
            print(f"not ok {number} - {sentence}")
            print("\n".join("# " + line for line in why.splitlines()), flush=True)
            # Of a TAP stream, meson shows the verdicts alone.
            print(f"{sentence}\n{why}", file=sys.stderr, flush=True)
            continue
        print(f"# {time.monotonic() - started:.2f} s")
        print(f"ok {number} - {sentence}", flush=True)
    sys.exit(1 if failed else 0)


def wait_for(what, timeout=10.0, step=0.02):
    """The first true value of what(), polled; the last false one after @timeout seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = what()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(step)


def is_mounted(path):
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split()[1].encode("utf-8", "surrogateescape").decode("unicode_escape") == path for line in file)


def processes(word):
    """Process ids of mailfs processes with @word somewhere in an argument."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                arguments = file.read().split(b"\0")
            with open(f"/proc/{pid}/stat", "rb") as file:
                state = file.read().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if state != b"Z" and os.path.basename(arguments[0]).startswith(b"mailfs") and any(
                word.encode() in argument for argument in arguments[1:]):
            found.append(int(pid))
    return found


class Place:
    """A temporary directory to mount in. `mounts` are the mount points that were used."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="mailfs-test-")
        self.home = self.path("home")
        self.cache = self.path("cache")
        self.config = self.path("home", ".config", "mailfs", "config")
        os.makedirs(os.path.dirname(self.config))
        os.mkdir(self.path("runtime"), 0o700)
        self.mounts = []

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            left = [path for path in self.mounts if is_mounted(path)]
            for path in left:
                run_umount(path, lazy=True)
            alive = wait_for(lambda: not processes(self.directory), 30) or processes(self.directory)
            for pid in alive if isinstance(alive, list) else []:
                os.kill(pid, signal.SIGKILL)
            self.sanitizer_reports(fail=kind is None)
            if kind is None:
                assert not left, f"still mounted: {left}"
                assert alive is True, f"processes left: {alive}"
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def sanitizer_reports(self, fail=True):
        for name in sorted(os.listdir(self.directory)):
            if name.startswith("sanitizer."):
                with open(self.path(name), encoding="utf-8", errors="replace") as file:
                    text = file.read()
                if fail:
                    raise AssertionError(text)
                print("# " + text.replace("\n", "\n# "))

    def environment(self, password=None, **more):
        env = {name: value for name, value in os.environ.items()
               if name not in ("MAILFS_PASSWORD", "NOTIFY_SOCKET") and not name.startswith("XDG_")}
        env.update(HOME=self.home, XDG_CACHE_HOME=self.cache, XDG_STATE_HOME=self.path("state"),
                   XDG_RUNTIME_DIR=self.path("runtime"), G_DEBUG="fatal-criticals", LC_ALL="C.UTF-8")
        # A daemon has no stderr: reports go to files, and no report goes unseen.
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            env[name] = ":".join(filter(None, (env.get(name), f"log_path={self.path('sanitizer')}")))
        if password is not None:
            env["MAILFS_PASSWORD"] = password
        env.update(more)
        return env

    def mountpoint(self, name="mnt"):
        path = self.path(name)
        # A mount there may be dead.
        if path not in self.mounts:
            os.makedirs(path, exist_ok=True)
            self.mounts.append(path)
        return path

    def mailfs(self, *arguments, password=None, timeout=60, **rest):
        """Runs mailfs to its end (of the foreground part): CompletedProcess with text output."""
        return subprocess.run([MAILFS, *arguments], env=self.environment(password, **rest), timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)

    def write_config(self, text, mode=0o600):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.config, mode)

    @contextlib.contextmanager
    def mount(self, server, *options, url=None, name="mnt", tls=True, unmount=True):
        """mailfs mounted on a server; yields the mount point, and unmounts after."""
        path = self.mountpoint(name)
        words = [f"tls-ca={server.ca}" if tls else "tls=none", *options]
        done = self.mailfs(url or server.url(), path, "-o", ",".join(words), password=server.password)
        assert done.returncode == 0, f"mount: exit {done.returncode}: {done.stderr}"
        self.said = done.stdout + done.stderr
        assert is_mounted(path), "exit 0 but not mounted"
        try:
            yield path
        except BaseException:
            self.show_log(path)
            raise
        if unmount:
            self.unmount(path)

    def show_log(self, path):
        """For the reader of a failed test: what mailfs itself has to say."""
        for name in ("status", "log"):
            try:
                text = subprocess.run(["tail", "-n", "20", os.path.join(path, ".mailfs", name)], timeout=5, check=False,
                                      capture_output=True, text=True, errors="replace").stdout
                print(f"# .mailfs/{name}:\n# " + text.replace("\n", "\n# "), flush=True)
            except (OSError, subprocess.TimeoutExpired):
                pass

    def unmount(self, path):
        done = self.mailfs("umount", path)
        assert done.returncode == 0, f"umount: exit {done.returncode}: {done.stderr}"
        assert not is_mounted(path), "umount said 0 but it is still mounted"
        assert wait_for(lambda: not processes(path), 30), f"processes left: {processes(path)}"

    def forget(self):
        """The next mount starts with an empty cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def body_files(self):
        """The files that cached bodies are in, smallest first: packs, and large bodies."""
        found = []
        for folder, _, names in os.walk(self.cache):
            if "bodies" in folder.split(os.sep):
                found += [os.path.join(folder, name) for name in names if name != "journal"]
        return sorted(found, key=lambda path: (os.path.getsize(path), path))

    def bodies(self):
        """Where each cached body is, as the cache's books tell: [(path, offset, bytes)], smallest first. Those of small
        ones are at most a second behind."""
        found = []
        for path in self.body_files():
            folder = os.path.dirname(path)
            if os.path.basename(folder) != "packs":
                found.append((path, 0, os.path.getsize(path)))
            elif path == os.path.join(folder, min(os.listdir(folder))):
                found += packed(folder)
        return sorted(found, key=lambda body: (body[2], body))


def packed(folder):
    """The bodies in the packs of a folder: records of (address, pack, block, bytes, CRC-32, used, check), the last one of
    an address counts, and that of pack 0 says that it is gone."""
    with open(os.path.join(folder, "journal"), "rb") as file:
        records = list(struct.iter_unpack("=Q6I", file.read()))
    last = {address: (pack, block, size) for address, pack, block, size, *_ in records}
    return [(os.path.join(folder, str(pack)), block * 4096, size) for pack, block, size in last.values() if pack != 0]


def run_umount(path, lazy=False):
    command = ["umount", *(["-l"] if lazy else []), path]
    if os.geteuid() != 0:
        command = ["fusermount3", "-uz" if lazy else "-u", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# What the server says, asked by another client

class Fetched:
    """One message as the server tells it."""

    def __init__(self, uid, data, date, flags):
        self.uid, self.data, self.date, self.flags = uid, data, date, flags


def quoted(mailbox):
    return '"' + mailbox.replace("\\", "\\\\").replace('"', '\\"') + '"'


def fetch_mailbox(server, mailbox, uids="1:*"):
    """{uid: Fetched} of a mailbox by its raw server name. Sets no flag."""
    line = server.client()
    try:
        kind, answer = line.select(quoted(mailbox), readonly=True)
        assert kind == "OK", answer
        if answer[0] == b"0":
            return {}
        kind, answer = line.uid("FETCH", uids, "(UID FLAGS INTERNALDATE BODY.PEEK[])")
        assert kind == "OK", answer
    finally:
        line.logout()
    found = {}
    for item in answer:
        if isinstance(item, tuple):
            words = item[0].decode("ascii", "replace")
            uid = int(re.search(r"UID (\d+)", words).group(1))
            date = email.utils.mktime_tz(email.utils.parsedate_tz(re.search(r'INTERNALDATE "([^"]+)"', words).group(1)))
            flags = re.search(r"FLAGS \(([^)]*)\)", words).group(1).split()
            found[uid] = Fetched(uid, item[1], date, set(flags) - {"\\Recent"})
    return found


def list_mailboxes(server):
    """Raw names of all mailboxes that can be selected."""
    line = server.client()
    try:
        answer = line.list()[1]
    finally:
        line.logout()
    names = []
    for item in answer:
        if isinstance(item, tuple):  # a literal
            words, name = item[0].decode(), item[1].decode("utf-8", "surrogateescape")
        else:
            found = re.fullmatch(r'(\(.*?\) (?:"(?:[^"\\]|\\.)*"|NIL)) (.*)', item.decode("utf-8", "surrogateescape"))
            words, name = found.groups()
            if name.startswith('"'):
                name = re.sub(r"\\(.)", r"\1", name[1:-1])
        if "\\noselect" not in words.lower() and "\\nonexistent" not in words.lower():
            names.append(name)
    return names


# What the mount says

def listed(path):
    """The message files of a directory, in its order."""
    with os.scandir(path) as entries:
        return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]


def folders(path):
    """The mailboxes of the server in a directory; the outbox is none."""
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name != "Outbox")


def uid_of(path):
    return int(os.getxattr(path, "user.mailfs.uid"))


def flags_of(path):
    return set(os.getxattr(path, "user.mailfs.flags").decode().split()) - {"\\Recent"}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def drop_pages(path):
    """The kernel forgets a file's pages, so that the next read asks mailfs again."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def rsync(source, target, *options):
    """rsync -a, which must succeed: what it changed, a line each. The time of a directory alone is not counted: it is
    that of the newest change, which nobody knows before the directory was listed."""
    done = subprocess.run(["rsync", "-ai", *options, source + "/", target + "/"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return [line for line in done.stdout.splitlines() if not line.startswith(".d..t.....")]


def append(server, mailbox, data, flags="", date=None):
    """Delivers a message; returns its UID."""
    line = server.client()
    try:
        kind, answer = line.append(quoted(mailbox), flags, imaplib.Time2Internaldate(date or time.time()), data)
        assert kind == "OK", answer
        return int(re.search(rb"APPENDUID \d+ (\d+)", answer[0]).group(1))
    finally:
        line.logout()


def expunge(server, mailbox, uid):
    line = server.client()
    try:
        line.select(quoted(mailbox))
        line.uid("STORE", str(uid), "+FLAGS.SILENT", "(\\Deleted)")
        line.uid("EXPUNGE", str(uid))
    finally:
        line.logout()


def compare_folder(path, expected, exact=True):
    """Every file of a directory against what fetch_mailbox() said: bytes, size before and after, mtime, listing."""
    names = listed(path)
    seen = {}
    for name in names:
        full = os.path.join(path, name)
        uid = uid_of(full)
        assert uid in expected, f"{name}: UID {uid} is not on the server"
        assert uid not in seen, f"{name} and {seen[uid]} are both UID {uid}"
        seen[uid] = name
        want = expected[uid]
        data = read(full)
        status = os.stat(full)
        assert data == want.data, f"{name}: {len(data)} bytes, the server has {len(want.data)}, or they differ"
        assert status.st_size == len(data), f"{name}: st_size {status.st_size}, read {len(data)}"
        assert int(status.st_mtime) == want.date, f"{name}: mtime {status.st_mtime}, INTERNALDATE {want.date}"
        assert status.st_blocks * 512 >= len(data), f"{name}: {status.st_blocks} blocks for {len(data)} bytes"
        if exact:
            assert flags_of(full) == want.flags, f"{name}: {flags_of(full)}, the server has {want.flags}"
    assert len(names) == len(expected), f"{path}: {len(names)} files, {len(expected)} messages"
    return len(names)


# Changing the mailbox

def filled(count, *more, size=800, **settings):
    """A server with @count messages without flags in Bulk, and empty mailboxes (Target, Trash)."""
    server = Dovecot(**settings)
    server.fill(samples.bulk_mail(count, size, mailbox=("Bulk",)))
    server.start()
    line = server.client()
    for name in more or ("Target", "Trash"):
        line.create(name)
    line.select("Bulk")
    line.store("1:*", "FLAGS", "()")
    line.logout()
    return server


def run(*command, code=0, timeout=120, env=None):
    """A program that ends with @code: its CompletedProcess."""
    done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, env=env)
    assert done.returncode == code, f"{command[:4]}: exit {done.returncode}: {done.stderr[-500:]}"
    return done


def fails(code, act):
    """act() raises an OSError with @code."""
    try:
        act()
    except OSError as error:
        assert error.errno == code, f"{errno.errorcode.get(error.errno)}, not {errno.errorcode[code]}"
    else:
        raise AssertionError(f"no {errno.errorcode[code]}")


# Files that become messages

def text(number, body="hello", end="\r\n"):
    """A message of few words; LF ends become CRLF on their way."""
    lines = [f"From: Alice <alice@example.org>", "To: bob@example.org", f"Subject: written {number}",
             "Date: Mon, 02 Nov 2026 10:00:00 +0000", f"Message-ID: <written-{number}@example.org>", "", body, ""]
    return end.join(lines).encode()


def empty_server(*mailboxes, **settings):
    server = Dovecot(**settings)
    server.fill(samples.bulk_mail(2, 500, mailbox=("INBOX",)))
    server.start()
    line = server.client()
    for name in mailboxes or ("Work",):
        line.create(name)
    line.logout()
    return server


def on_server(server, mailbox, count, timeout=15):
    """The messages of a mailbox as soon as there are @count of them."""
    found = wait_for(lambda: (lambda all: len(all) >= count and all)(fetch_mailbox(server, mailbox)), timeout) or \
        fetch_mailbox(server, mailbox)
    assert len(found) == count, f"{len(found)} messages in {mailbox}, not {count}"
    return found


def bodies(found):
    return sorted(message.data for message in found.values())


def is_uploaded(path):
    """The file is a message by now."""
    try:
        return uid_of(path) > 0
    except OSError:
        return False


def corpus():
    """The corpus as Messages, one mailbox for each of its folders, with dates of their own."""
    pack = subprocess.run(["tar", "--zstd", "-tf", CORPUS], check=True, capture_output=True, text=True)
    names = sorted(name for name in pack.stdout.splitlines() if name.endswith(".eml"))
    with Place() as place:
        subprocess.run(["tar", "--zstd", "-xf", CORPUS, "-C", place.directory], check=True)
        for number, name in enumerate(names):
            mailbox = ("INBOX",) if "/real/" in name else (name.split("/")[-2],)
            yield samples.Message(mailbox, read(place.path(name)), "S" if number % 2 else "", (), 1_000_000_000 + number * 61)
