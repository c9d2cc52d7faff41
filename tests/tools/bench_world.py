# SPDX-License-Identifier: MIT
"""What the benchmark runs in: a place on disk, a server full of mail, lines to it, and the peers."""
import contextlib
import dataclasses
import imaplib
import os
import poplib
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "mount"))
import common  # noqa: E402
from common import Dovecot, Exim, Place, append, processes, samples, wait_for  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")

MBSYNC = """\
IMAPAccount bench
Host localhost
Port {port}
User {user}
Pass "{password}"
SSLType {ssl}
{certificate}

IMAPStore far
Account bench

MaildirStore near
Path {maildir}/
Inbox {maildir}/INBOX
SubFolders Verbatim

Channel bench
Far :far:
Near :near:
Patterns Bulk
Create Near
Sync Pull New
SyncState *
"""


FEW = 1_000  # messages in Few, which are changed one way and another
MAILDROP = 2000  # messages in INBOX
SERIAL = 50  # commands one after the other: enough to know what a thousand would take

MSMTP = """\
account default
host localhost
port {port}
from {user}@localhost
auth plain
user {user}
password {password}
tls {tls}
tls_trust_file {ca}
"""

NEWS = b"From: a@example.org\r\nSubject: news\r\n\r\nnews\r\n"


@dataclasses.dataclass
class Sample:
    """What one run of one command took."""
    seconds: float
    cpu: float = 0.0       # of the program measured: mailfs, bare-reader, mbsync
    server: float = 0.0    # CPU seconds of the server
    peak: float = 0.0      # MB resident, at most
    trips: int = 0         # round trips
    wire: int = 0          # bytes, both ways
    count: int = 0         # messages, or bytes: what the caller wants to check


def cpu_of(pid, children=False):
    """CPU seconds; with those of children that it has waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15 if children else 13])) / TICKS


def peak_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) / 1024


def reset_peak(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def run_timed(command, **rest):
    """(seconds, CPU of the command)"""
    before = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **rest) as process:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - before
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ((0, 1) if command[0] in ("grep", "rg") else (0,)):
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime


def tls_of(server, raw):
    return ssl.create_default_context(cafile=server.ca).wrap_socket(raw, server_hostname="localhost")


class Ground:
    """The directory that everything is written to; an ext4 of its own in memory when asked for (root only)."""

    def __init__(self, parent, ram=0):
        self.parent = tempfile.mkdtemp(prefix="mailfs-bench-", dir="/dev/shm" if ram else parent)
        self.path = self.parent
        self.image = None
        os.chmod(self.parent, 0o755)
        if ram:
            self.image = os.path.join(self.parent, "image")
            self.path = os.path.join(self.parent, "ext4")
            os.mkdir(self.path)
            with open(self.image, "wb") as file:
                file.truncate(ram)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-i", "4096", "-E", "lazy_itable_init=0", self.image], check=True)
            subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)
            os.chmod(self.path, 0o755)

    def describe(self):
        out = subprocess.run(["findmnt", "-no", "FSTYPE,SOURCE,OPTIONS", "-T", self.path], capture_output=True, text=True,
                             check=False).stdout.split(maxsplit=2)
        kind, source = (out + ["?", "?"])[:2]
        name = os.path.basename(source)
        journal = ""
        if kind == "ext4":
            journal = ", journal" if os.path.exists(f"/proc/fs/jbd2/{name}-8") else ", no journal"
        return f"{kind} on {source}{journal}" + (", in memory" if self.image else "")

    def close(self):
        if self.image:
            subprocess.run(["umount", "-l", self.path], check=False)
        shutil.rmtree(self.parent, ignore_errors=True)


class Proxy:
    """The delay proxy of tests/tools in front of a port."""

    def __init__(self, program, port, delay):
        self.process = subprocess.Popen([program, "0", "127.0.0.1", str(port), "--delay", str(delay)],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def close(self):
        self.process.terminate()
        self.process.communicate()


@dataclasses.dataclass
class Line:
    """A way to the server."""
    name: str
    port: int
    smtp_port: int   # STARTTLS, where `tls`
    smtps_port: int  # TLS from the first byte
    pop_port: int
    tls: bool
    delay: float


class World:
    """A server with the mailboxes that the scenarios read, and the lines to it."""

    def __init__(self, ground, tools, messages, mean_size, delay):
        self.ground, self.tools, self.messages, self.mean_size = ground, tools, messages, mean_size
        tempfile.tempdir = ground.path
        # A million messages are more than Dovecot allows itself memory for.
        self.server = Dovecot(os.path.join(ground.path, "server"), connections=200, config="default_vsz_limit = 4G")
        self.relay = Exim(self.server, queue=True)  # it takes all and delivers nothing
        self.half = min(messages // 2, 5000)
        self.proxies = []
        try:
            self.open(delay)
        except BaseException:
            self.close()
            raise

    def open(self, delay):
        self.fill()
        self.server.start()
        self.relay.start()
        sending, pop, pops = (self.relay.port, self.relay.tls_port), self.server.pop_port, self.server.pop_tls_port
        for port in (self.server.port, self.server.tls_port, pop, pops, *sending):
            self.proxies.append(Proxy(self.tools["delay-proxy"], port, delay))
        plain, tls, far_pop, far_pops, *far_sending = [proxy.port for proxy in self.proxies]
        far = f"{delay:g} ms each way"
        self.lines = {
            ("near", False): Line("loopback", self.server.port, *sending, pop, False, 0),
            ("near", True): Line("loopback, TLS", self.server.tls_port, *sending, pops, True, 0),
            ("far", False): Line(far, plain, *far_sending, far_pop, False, delay),
            ("far", True): Line(far + ", TLS", tls, *far_sending, far_pops, True, delay),
        }
        for mailbox in ("Bulk", "A", "B", "Big", "Large"):  # Dovecot's own caches are warm for all
            self.bare(self.lines["near", False], mailbox, "--list")

    def fill(self):
        server, mean_size = self.server, self.mean_size
        server.fill(samples.bulk_mail(self.messages, mean_size))
        for seed, name in enumerate(("A", "B"), 5):
            server.fill(samples.bulk_mail(self.half, mean_size, seed, (name,)))
        writer = samples.Writer(9)
        server.fill(samples.large(writer, ("Large",), 1_000_000) for _ in range(200))
        server.fill(samples.large(writer, ("Big",), 40_000_000) for _ in range(2))
        server.fill(samples.bulk_mail(FEW, mean_size, 7, ("Few",)))
        server.fill(samples.bulk_mail(MAILDROP, mean_size, 8, ("INBOX",)))

    # What is changed, as another client

    def count(self, mailbox):
        with self.server.client() as line:
            return int(line.select(mailbox, readonly=True)[1][0])

    def drop(self, mailbox):
        with self.server.client() as line:
            line.delete(mailbox)

    def gather(self):
        """Everything that was in Few is there again, without flags, and Other and Trash are empty."""
        with self.server.client() as line:
            for mailbox in ("Few", "Other", "Trash"):
                line.create(mailbox)
            for mailbox in ("Other", "Trash"):
                if line.select(mailbox)[1][0] != b"0":
                    line.uid("MOVE", "1:*", "Few")
            line.select("Few")
            line.uid("STORE", "1:*", "FLAGS.SILENT", "()")

    def append_one_by_one(self, line, mailbox, count):
        """How long @count APPENDs take of which each waits for the answer to the one before, from that of a few."""
        with self.server.client() as client:
            client.create(mailbox)
        data = NEWS + b"x" * 70 * (self.mean_size // 70) + b"\r\n"
        return self.one_by_one(line, count, lambda _: b"APPEND %b {%d+}\r\n%b" % (mailbox.encode(), len(data), data))

    def change_one_by_one(self, line, command):
        """The same for a change to each message of Few: STORE or MOVE."""
        words = {"STORE": b"UID STORE %b +FLAGS.SILENT (\\Flagged)", "MOVE": b"UID MOVE %b Other"}[command]
        return self.one_by_one(line, FEW, lambda uid: words % uid)

    def one_by_one(self, line, count, command):
        self.gather()
        # Not by imaplib's own calls: they wait before they send a literal.
        kind = imaplib.IMAP4_SSL if line.tls else imaplib.IMAP4
        context = {"ssl_context": ssl.create_default_context(cafile=self.server.ca)} if line.tls else {}
        with kind("localhost", line.port, **context) as client:
            client.login(self.server.user, self.server.password)
            client.select("Few")
            uids = client.uid("SEARCH", "ALL")[1][0].split()[:SERIAL]
            before = time.monotonic()
            for uid in uids:
                client.send(b"one " + command(uid) + b"\r\n")
                while not (said := client.readline()).startswith(b"one "):
                    pass
                if not said.startswith(b"one OK"):
                    raise RuntimeError(said.decode(errors="replace"))
            return Sample((time.monotonic() - before) * count / len(uids))

    def close(self):
        for proxy in self.proxies:
            proxy.close()
        self.relay.stop()
        self.server.close()
        shutil.rmtree(self.server.directory, ignore_errors=True)

    def server_cpu(self):
        """CPU seconds of all the server's processes, dead ones included."""
        master = self.server.process.pid
        live = [pid for pid in filter(str.isdigit, os.listdir("/proc")) if self._group(pid) == master]
        return sum(cpu_of(pid) for pid in live if int(pid) != master) + cpu_of(master, children=True)

    @staticmethod
    def _group(pid):
        try:
            return os.getpgid(int(pid))
        except OSError:
            return 0

    # The peers

    def bare(self, line, mailbox, *options, port=None):
        command = [self.tools["bare-reader"], "localhost", str(port or line.port), self.server.user, mailbox, *options,
                   *(["--tls"] if line.tls else [])]
        before = self.server_cpu()
        done = subprocess.run(command, env=dict(os.environ, BARE_PASSWORD=self.server.password), capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        said = dict(word.split("=") for word in done.stdout.split())
        return Sample(float(said["seconds"]), float(said["cpu"]), self.server_cpu() - before, wire=int(said["bytes"]),
                      count=int(said["messages"]))

    def bare_list(self, line, mailbox="Bulk"):
        return self.bare(line, mailbox, "--list")

    def bare_bodies(self, line, mailbox="Bulk"):
        # In flight enough for the longer line; more makes no difference on the short one.
        return self.bare(line, mailbox, "--bodies", "--set-size", "500", "--in-flight", "16")

    def bare_sender(self, line, path, count):
        command = [self.tools["bare-sender"], "localhost", str(line.smtps_port if line.tls else line.smtp_port),
                   self.server.user, "bob@localhost", path, str(count), *(["--tls"] if line.tls else [])]
        done = subprocess.run(command, env=dict(os.environ, BARE_PASSWORD=self.server.password), capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        said = dict(word.split("=") for word in done.stdout.split())
        return Sample(float(said["whole"]), float(said["cpu"]))

    def msmtp(self, line, path, count, runs=25):
        """@count messages, a program each: measured are @runs of them."""
        if shutil.which("msmtp") is None:
            raise RuntimeError("msmtp is not installed: run contrib/install")
        with tempfile.TemporaryDirectory(prefix="msmtp-") as place:
            config = os.path.join(place, "rc")
            with open(os.open(config, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
                file.write(MSMTP.format(port=line.smtp_port, user=self.server.user, password=self.server.password,
                                        tls="on" if line.tls else "off", ca=self.server.ca))
            before = time.monotonic()
            for _ in range(runs):
                with open(path, "rb") as message:
                    subprocess.run(["msmtp", "-C", config, "bob@localhost"], stdin=message, check=True,
                                   env=dict(os.environ, HOME=place))
            return Sample((time.monotonic() - before) * count / runs)

    def taken(self):
        """Messages that the relay has taken so far."""
        with open(self.server.path("relay", "mainlog"), "rb") as file:
            return file.read().count(b" <= ")

    def bare_maildrop(self, line):
        return self.bare(line, "INBOX", "--pop", "--in-flight", "256", port=line.pop_port)

    def poplib(self, line, count):
        """A client that waits for each message; what all would take it."""
        secure = ssl.create_default_context(cafile=self.server.ca)
        client = poplib.POP3_SSL("localhost", line.pop_port, context=secure) if line.tls else \
            poplib.POP3("localhost", line.pop_port)
        client.user(self.server.user)
        client.pass_(self.server.password)
        before = time.monotonic()
        for number in range(1, count + 1):
            client.retr(number)
        taken = time.monotonic() - before
        client.quit()
        return Sample(taken * MAILDROP / count)

    def idle(self, line, mailbox):
        """How long after the OK of APPEND the server tells a client that does nothing but IDLE."""
        with socket.create_connection(("127.0.0.1", line.port), 30) as raw:
            with tls_of(self.server, raw) if line.tls else raw as near, near.makefile("rb") as heard:

                def hear(*starts):
                    while not heard.readline().startswith(starts):
                        pass

                hear(b"* OK")
                near.sendall(f't LOGIN "{self.server.user}" "{self.server.password}"\r\n'.encode())
                hear(b"t ")
                near.sendall(f't EXAMINE "{mailbox}"\r\nt IDLE\r\n'.encode())
                hear(b"+ ")
                append(self.server, mailbox, NEWS)
                before = time.monotonic()
                hear(b"* ")
                return Sample(time.monotonic() - before)

    def mbsync(self, line):
        """First sync of Bulk into an empty Maildir, and the second one, with nothing new."""
        if shutil.which("mbsync") is None:
            raise RuntimeError("mbsync is not installed: run contrib/install")
        place = tempfile.mkdtemp(prefix="mbsync-")
        try:
            maildir, config = os.path.join(place, "maildir"), os.path.join(place, "rc")
            os.mkdir(maildir)
            with open(config, "w", encoding="ascii") as file:
                file.write(MBSYNC.format(port=line.port, user=self.server.user, password=self.server.password,
                                         ssl="IMAPS" if line.tls else "None", maildir=maildir,
                                         certificate=f"CertificateFile {self.server.ca}" if line.tls else ""))
            command, env = ["mbsync", "-c", config, "-q", "bench"], dict(os.environ, HOME=place)
            before = self.server_cpu()
            first = Sample(*run_timed(command, env=env))
            first.server = self.server_cpu() - before
            first.count = sum(len(names) for folder, _, names in os.walk(os.path.join(maildir, "Bulk"))
                              if os.path.basename(folder) in ("cur", "new"))
            if first.count != self.messages:
                raise RuntimeError(f"mbsync fetched {first.count} of {self.messages}")
            return first, Sample(*run_timed(command, env=env))
        finally:
            shutil.rmtree(place, ignore_errors=True)


class Mounted:
    """mailfs on one line, and how to measure what it does."""

    def __init__(self, world, line):
        self.world, self.line = world, line
        self.place = Place()
        self.stack = None
        self.pid = 0
        self.path = None
        self.mounting = None  # a Sample

    def close(self):
        self.unmount()
        with self.place:
            pass

    def forget(self):
        """Unmounted, and nothing cached."""
        self.unmount()
        self.place.forget()

    def unmount(self):
        if self.stack is not None:
            self.stack.close()
            self.stack = None

    def mount(self, pop=False):
        server, line = self.world.server, self.line
        self.unmount()
        options = ["dir-time=600", "delete-limit=0"] + ([f"tls-ca={server.ca}"] if line.tls else ["tls=none"])
        path = self.place.mountpoint()
        options += [f"smtp=smtp://{server.user}@localhost:{line.smtp_port}/", "hold=0", "save-sent=no"]
        protocol, port = ("pop3", line.pop_port) if pop else ("imap", line.port)
        url = f"{protocol}{'s' if line.tls else ''}://{server.user}@localhost:{port}/"
        before = time.monotonic()
        done = self.place.mailfs(url, path, "-o", ",".join(options), password=server.password)
        self.mounting = Sample(time.monotonic() - before)
        if done.returncode != 0:
            raise RuntimeError(f"mount: exit {done.returncode}: {done.stderr.strip()}")
        self.path = path
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.place.unmount, path)
        self.pid = processes(path)[0]
        return path

    def settle(self):
        """Waits until mailfs has asked all that it asks of its own when it is mounted; counts that for mounting."""
        known, since = -1, 0
        while known < 0 or time.monotonic() - since < 1:
            now = self.metrics()
            if now["mailfs_round_trips_total"] != known:
                known, since = now["mailfs_round_trips_total"], time.monotonic()
            time.sleep(0.02)
        self.mounting.trips = known
        self.mounting.wire = now["mailfs_received_bytes_total"] + now["mailfs_sent_bytes_total"]

    def folder(self, name="Bulk"):
        return os.path.join(self.path, name)

    def metrics(self):
        with open(os.path.join(self.path, ".mailfs", "metrics"), encoding="utf-8") as file:
            return dict((name, int(value)) for name, value in
                        (row.split() for row in file if not row.startswith("#")))

    @contextlib.contextmanager
    def measured(self):
        """A Sample of what mailfs does inside the block."""
        sample = Sample(0)
        reset_peak(self.pid)
        counted, server, cpu = self.metrics(), self.world.server_cpu(), cpu_of(self.pid)
        before = time.monotonic()
        yield sample
        sample.seconds = time.monotonic() - before
        sample.cpu = cpu_of(self.pid) - cpu
        sample.server = self.world.server_cpu() - server
        sample.peak = peak_of(self.pid)
        now = self.metrics()
        sample.trips = now["mailfs_round_trips_total"] - counted["mailfs_round_trips_total"]
        sample.wire = sum(now[name] - counted[name] for name in
                          ("mailfs_received_bytes_total", "mailfs_sent_bytes_total"))

    def run(self, *command):
        with self.measured() as sample:
            run_timed(list(command))
        return sample


def median(values):
    values = list(values)
    return statistics.median(values) if values else None


__all__ = ["FEW", "MAILDROP", "Ground", "Line", "Mounted", "NEWS", "Sample", "TOP", "World", "common", "median", "run_timed", "wait_for"]
