#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A private Dovecot: own directory, own configuration, a free loopback port, own certificate, filled
as Maildir so that thousands of messages take no time. Needs no root, and leaves nothing behind.

    with Dovecot() as server:
        server.fill(samples.sample_mail())
        server.start()
        ... server.url(), server.ca, server.password ...

    contrib/server.py start DIR [--samples] [--bulk N:SIZE] [...]    prints what one needs, KEY=VALUE
    contrib/server.py stop DIR
"""

import argparse
import base64
import contextlib
import imaplib
import os
import pwd
import random
import re
import shutil
import signal
import socket
import ssl as ssl_module
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import samples  # noqa: E402

# What Dovecot 2.3 tells a logged-in client, as plain names: `without` takes some away.
CAPABILITIES = (
    "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS "
    "THREAD=ORDEREDSUBJECT MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN NAMESPACE UIDPLUS "
    "LIST-EXTENDED I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN CONTEXT=SEARCH LIST-STATUS "
    "BINARY MOVE SNIPPET=FUZZY PREVIEW=FUZZY PREVIEW STATUS=SIZE SAVEDATE LITERAL+ NOTIFY SPECIAL-USE"
).split()

CONFIG = """\
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
auth_verbose = yes
auth_failure_delay = 0
protocols = imap pop3
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = {connections}

ssl = {ssl}
ssl_cert = <{dir}/server.pem
ssl_key = <{dir}/server.key
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = {disable_plaintext}
auth_mechanisms = {mechanisms}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%u
}}

mail_location = maildir:~/mail:LAYOUT=fs:INBOX=~/mail/INBOX
maildir_stat_dirs = yes
mail_fsync = never
mail_plugins = {plugins}
namespace inbox {{
  inbox = yes
  separator = {separator}
  prefix = {prefix}
  mailbox Sent {{
    special_use = \\Sent
  }}
  mailbox Drafts {{
    special_use = \\Drafts
  }}
  mailbox Trash {{
    special_use = \\Trash
  }}
  mailbox Junk {{
    special_use = \\Junk
  }}
}}
protocol imap {{
  mail_plugins = {imap_plugins}
{imap_settings}
}}
plugin {{
{plugin_settings}
}}

service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
  process_min_avail = 1
  service_count = 0
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop_port}
  }}
  inet_listener pop3s {{
    port = {pop_tls_port}
  }}
  service_count = 0
}}
protocol pop3 {{
{pop_settings}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap {{
  process_limit = 200
}}
{extra}
"""


def mutf7(text):
    """One mailbox name component in modified UTF-7 (RFC 3501 5.1.3)."""
    out, wide = [], ""
    for char in text + "\0":
        if " " <= char <= "~" or char == "\0":
            if wide:
                raw = base64.b64encode(wide.encode("utf-16-be")).decode().rstrip("=")
                out.append("&" + raw.replace("/", ",") + "-")
                wide = ""
            out.append("&-" if char == "&" else char if char != "\0" else "")
        else:
            wide += char
    return "".join(out)


_reserved = []  # sockets that stand for ports, as long as this process lives


def reserve(port):
    """False: another process of ours has chosen it too, and does not listen on it yet."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0mailfs-port-{port}")
    except OSError:
        claim.close()
        return False
    _reserved.append(claim)
    return True


def free_ports(count):
    """Loopback ports above 20000 and below the range that outgoing connections use."""
    found = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_001, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if reserve(port):
            found.append(port)
    return found


def make_certificates(directory):
    """A CA (ca.pem), a certificate of it for localhost (server.pem), and one that nobody signed."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=directory,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
    openssl("req", "-x509", *curve, "-days", "30", "-subj", "/CN=mailfs sample CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *curve, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(directory, "names"), "w", encoding="ascii") as file:
        file.write(names + "\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "names", "-out", "server.pem")
    openssl("req", "-x509", *curve, "-days", "30", "-subj", "/CN=localhost", "-addext", names,
            "-keyout", "selfsigned.key", "-out", "selfsigned.pem")


def fingerprint(path):
    """SHA-256 of a PEM file's first certificate, in lower-case hex."""
    out = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"],
                         check=True, capture_output=True, text=True).stdout
    return out.split("=", 1)[1].strip().replace(":", "").lower()


class Dovecot:
    """
    ssl            "yes", "no" or "required" (as Dovecot means them); plain-text logins work unless "required"
    without        capabilities to take away from what a logged-in client is told
    mechanisms     SASL mechanisms offered
    quota          bytes: GETQUOTAROOT works and this is the limit
    compress       COMPRESS=DEFLATE is offered
    separator, prefix    the hierarchy separator and the personal namespace's prefix ("INBOX.")
    plugins        further mail_plugins
    rawlog         every session's bytes go to DIR/rawlog (see commands())
    pop_lock       a POP3 session has the maildrop for itself, as most servers' do
    config         further lines for the end of the configuration
    """

    def __init__(self, directory=None, *, user="alice", password="secret of alice", ssl="yes", without=(),
                 mechanisms="plain login cram-md5 scram-sha-256", quota=None, compress=False, separator="/",
                 prefix="", rawlog=False, connections=30, plugins=(), pop_lock=False, config=""):
        self.own_directory = directory is None
        self.directory = os.path.abspath(directory or tempfile.mkdtemp(prefix="mailfs-server-"))
        self.user, self.password = user, password
        self.separator, self.prefix = separator, prefix
        self.process = None
        self.counters = {}
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o755)
        # Dovecot refuses to serve mail as root. One way for all: nobody, when this is root.
        self.account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.port, self.tls_port, self.pop_port, self.pop_tls_port = free_ports(4)
        self.settings = dict(ssl=ssl, without=tuple(without), mechanisms=mechanisms, quota=quota, compress=compress,
                             rawlog=rawlog, connections=connections, plugins=tuple(plugins), pop_lock=pop_lock,
                             config=config)
        make_certificates(self.directory)
        self.ca = self.path("ca.pem")
        self.log = self.path("dovecot.log")
        self.home = self.path("home", user)
        self.mail = self.path("home", user, "mail")
        os.makedirs(self.mail)
        if rawlog:
            os.makedirs(self.path("rawlog"))
        self.write_config()

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def write_config(self):
        """After a change of settings: then restart()."""
        s = self.settings
        plugins = [*s["plugins"], *(["quota"] if s["quota"] else []), *(["zlib"] if s["compress"] else [])]
        imap_plugins = plugins + (["imap_quota"] if s["quota"] else []) + (["imap_zlib"] if s["compress"] else [])
        imap_settings, pop_settings, plugin_settings = [], [], []
        if s["without"]:
            left = [name for name in CAPABILITIES if name not in s["without"]]
            imap_settings.append("  imap_capability = " + " ".join(left))
        if s["rawlog"]:
            for settings in (imap_settings, pop_settings):
                settings.append(f"  rawlog_dir = {self.path('rawlog')}")
        if s["pop_lock"]:
            pop_settings.append("  pop3_lock_session = yes")
        if s["quota"]:
            plugin_settings += ["  quota = maildir:User quota", f"  quota_rule = *:bytes={s['quota']}"]
        with open(self.path("passwd"), "w", encoding="utf-8") as file:
            file.write(f"{self.user}:{{PLAIN}}{self.password}\n")
        group = subprocess.run(["id", "-gn", self.account.pw_name], capture_output=True, text=True, check=True)
        text = CONFIG.format(
            dir=self.directory, user=self.account.pw_name, group=group.stdout.strip(), uid=self.account.pw_uid,
            gid=self.account.pw_gid, ssl=s["ssl"], disable_plaintext="yes" if s["ssl"] == "required" else "no",
            mechanisms=s["mechanisms"], plugins=" ".join(plugins), imap_plugins=" ".join(imap_plugins),
            imap_settings="\n".join(imap_settings), plugin_settings="\n".join(plugin_settings),
            pop_settings="\n".join(pop_settings), separator=self.separator, prefix=self.prefix, port=self.port,
            tls_port=self.tls_port, pop_port=self.pop_port, pop_tls_port=self.pop_tls_port,
            connections=s["connections"], extra=s["config"])
        with open(self.path("dovecot.conf"), "w", encoding="utf-8") as file:
            file.write(text)

    # Mail

    def folder(self, mailbox):
        """The Maildir of a mailbox given as components in Unicode; made when it is not there."""
        path = os.path.join(self.mail, *(mutf7(part) for part in mailbox))
        if not os.path.isdir(os.path.join(path, "cur")):
            for name in ("cur", "new", "tmp"):
                os.makedirs(os.path.join(path, name))
            with open(os.path.join(path, "dovecot-keywords"), "w", encoding="ascii") as file:
                file.writelines(f"{i} {word}\n" for i, word in enumerate(("$Forwarded", "work", "$Label1")))
        return path

    def fill(self, messages):
        """Puts Messages (samples.py) where Dovecot finds them, in their order. Returns how many."""
        count = 0
        folders = {}
        for message in messages:
            if message.mailbox not in folders:
                folders[message.mailbox] = self.folder(message.mailbox)
            serial = self.counters[message.mailbox] = self.counters.get(message.mailbox, 0) + 1
            data = message.data
            wire_size = len(data) + data.count(b"\n") - data.count(b"\r\n")
            letters = message.flags + "".join("abc"[("$Forwarded", "work", "$Label1").index(k)] for k in message.keywords)
            name = f"{1_000_000_000 + serial}.M{serial}.sample,S={len(data)},W={wire_size}:2,{''.join(sorted(letters))}"
            path = os.path.join(folders[message.mailbox], "cur", name)
            with open(path, "wb") as file:
                file.write(data)
            os.utime(path, (message.date, message.date))
            count += 1
        self.give_away()
        return count

    def identity(self):
        """What makes a process of Popen() run as the user that all mail belongs to."""
        if os.geteuid() == 0:
            return dict(user=self.account.pw_uid, group=self.account.pw_gid, extra_groups=[self.account.pw_gid])
        return {}

    def give_away(self):
        """All that Dovecot writes to belongs to the user it runs as."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{self.account.pw_uid}:{self.account.pw_gid}", self.directory], check=True)

    # The process

    def start(self):
        self.give_away()
        dovecot = shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if dovecot is None:
            raise RuntimeError("dovecot is not installed: run contrib/install")
        with open(self.path("start.log"), "ab") as out:
            self.process = subprocess.Popen([dovecot, "-F", "-c", self.path("dovecot.conf")], cwd="/",
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            start_new_session=True, **self.identity())
        with open(self.path("pid"), "w", encoding="ascii") as file:
            file.write(f"{self.process.pid}\n")
        deadline = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as line:
                    line.settimeout(5)
                    if line.recv(4) == b"* OK":
                        return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("Dovecot did not start:\n" + self.tail())
            time.sleep(0.02)

    def tail(self):
        text = ""
        for name in ("start.log", "dovecot.log"):
            if os.path.exists(self.path(name)):
                with open(self.path(name), encoding="utf-8", errors="replace") as file:
                    text += file.read()[-2000:]
        return text

    def stop(self, hard=False):
        """Ends the server and every process of its; `hard` as a power cut does."""
        if self.process is None:
            return
        stop_group(self.process.pid, hard, self.process.poll)
        self.process.wait()
        self.process = None
        if os.path.exists(self.path("pid")):
            os.unlink(self.path("pid"))

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """Every process of the server stands still; connections stay open. resume() goes on."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def close(self):
        self.stop()
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    # For those who connect

    def url(self, tls=False, host="localhost"):
        scheme, port = ("imaps", self.tls_port) if tls else ("imap", self.port)
        return f"{scheme}://{urllib.parse.quote(self.user, safe='')}@{host}:{port}/"

    def pop_url(self, tls=False, host="localhost"):
        scheme, port = ("pop3s", self.pop_tls_port) if tls else ("pop3", self.pop_port)
        return f"{scheme}://{urllib.parse.quote(self.user, safe='')}@{host}:{port}/"

    def client(self):
        """A logged-in imaplib client, in the clear or inside TLS as the server allows."""
        if self.settings["ssl"] == "required":
            context = ssl_module.create_default_context(cafile=self.ca)
            line = imaplib.IMAP4_SSL("localhost", self.tls_port, ssl_context=context, timeout=60)
        else:
            line = imaplib.IMAP4("127.0.0.1", self.port, timeout=60)
        imaplib._MAXLINE = 1 << 26
        line.login(self.user, self.password)
        return line

    def count_log(self, pattern):
        """Lines of the server's log that match."""
        if not os.path.exists(self.log):
            return 0
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return sum(1 for line in file if re.search(pattern, line))

    def commands(self):
        """With rawlog: every command line that clients sent after login, in the order of the sessions."""
        lines = []
        folder = self.path("rawlog")
        for name in sorted(os.listdir(folder)):
            if name.endswith(".in"):
                with open(os.path.join(folder, name), "rb") as file:
                    for line in file.read().split(b"\n"):
                        # Each line begins with a time stamp.
                        text = re.sub(rb"^\d+\.\d+ ", b"", line).strip().decode("utf-8", "replace")
                        if text:
                            lines.append(text)
        return lines


def stop_group(pid, hard=False, poll=lambda: None):
    """Ends a server by the process group that its master leads."""

    def signal_group(number):
        try:
            os.killpg(pid, number)
            return True
        except ProcessLookupError:
            return False

    signal_group(signal.SIGCONT)
    if not hard:
        # To all at once: told alone, the master takes seconds to tell the others. Some never listen.
        signal_group(signal.SIGTERM)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            poll()
            if not signal_group(0):
                return
            time.sleep(0.02)
    signal_group(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and signal_group(0):
        poll()
        time.sleep(0.02)


def stop_server(directory, pid_name, config_name):
    """Ends what start left behind. FALSE: there is nothing."""
    try:
        with open(os.path.join(directory, pid_name), encoding="ascii") as file:
            pid = int(file.read())
    except FileNotFoundError:
        return False
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if os.path.join(directory, config_name).encode() in file.read().split(b"\0"):
                stop_group(pid)
    os.unlink(os.path.join(directory, pid_name))
    return True


def main():
    parser = argparse.ArgumentParser(description="A private Dovecot on loopback, and an Exim that delivers to it.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("start")
    start.add_argument("directory")
    start.add_argument("--samples", action="store_true", help="fill it with the sample mail")
    start.add_argument("--bulk", metavar="N:SIZE", help="and a mailbox Bulk of N messages of that mean size")
    start.add_argument("--ssl", default="yes", choices=("yes", "no", "required"))
    start.add_argument("--without", nargs="*", default=(), metavar="CAPABILITY")
    start.add_argument("--mechanisms", default="plain login cram-md5 scram-sha-256")
    start.add_argument("--quota", type=int, metavar="BYTES")
    start.add_argument("--compress", action="store_true")
    start.add_argument("--separator", default="/")
    start.add_argument("--prefix", default="")
    start.add_argument("--rawlog", action="store_true")
    stop = verbs.add_parser("stop")
    stop.add_argument("directory")
    arguments = parser.parse_args()
    arguments.directory = os.path.abspath(arguments.directory)
    if arguments.verb == "stop":
        stop_server(arguments.directory, "relay.pid", "relay.conf")
        if not stop_server(arguments.directory, "pid", "dovecot.conf"):
            sys.exit(f"no server runs in {arguments.directory}")
        return
    server = Dovecot(arguments.directory, ssl=arguments.ssl, without=arguments.without, mechanisms=arguments.mechanisms,
                     quota=arguments.quota, compress=arguments.compress, separator=arguments.separator,
                     prefix=arguments.prefix, rawlog=arguments.rawlog)
    if arguments.samples:
        server.fill(samples.sample_mail())
    if arguments.bulk:
        number, size = arguments.bulk.split(":")
        server.fill(samples.bulk_mail(int(number), int(size)))
    from relay import Exim  # it builds on this module
    relay = Exim(server)
    server.start()
    try:
        relay.start()
    except RuntimeError:
        server.stop()
        raise
    print(f"URL={server.url()}\nTLS_URL={server.url(True)}\nPORT={server.port}\nTLS_PORT={server.tls_port}\n"
          f"POP_URL={server.pop_url()}\nPOP_TLS_URL={server.pop_url(True)}\n"
          f"USER={server.user}\nPASSWORD='{server.password}'\nCA={server.ca}\n"
          f"FINGERPRINT=sha256:{fingerprint(server.path('server.pem'))}\nMAIL={server.mail}\nLOG={server.log}\n"
          f"PID={server.process.pid}\nSMTP_URL={relay.url()}\nSMTP_TLS_URL={relay.url(True)}\nSMTP_PORT={relay.port}\n"
          f"SMTP_TLS_PORT={relay.tls_port}\nSMTP_LOG={server.path('relay', 'mainlog')}")


if __name__ == "__main__":
    main()
