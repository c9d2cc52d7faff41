# SPDX-License-Identifier: MIT
"""A private Exim beside the private Dovecot of server.py: takes submissions on loopback from the same user with the
same password and certificate, and delivers into the Maildirs of the same server. Nothing ever leaves this machine.

    with Dovecot() as server, Exim(server) as relay:
        server.start()
        relay.start()
        relay.answer("rcpt", "carol@example.org", "451 4.7.1 come back later")
        ... relay.url(), server.ca, server.user, server.password, relay.delivered("bob") ...

Exim, and not Postfix: it runs as anybody, from one file, beside Dovecot and in any number of copies.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.parse

from server import free_ports, stop_group

# Whoever has a directory below DIR/home gets mail at each of these.
DOMAINS = ("localhost", "example.org", "example.com", "example.net", "xn--bcher-kva.example")

CONFIG = """\
primary_hostname = mail.example.org
qualify_domain = example.org
exim_path = {exim}
exim_user = {user}
exim_group = {group}
spool_directory = {dir}/relay
log_file_path = {dir}/relay/%slog
pid_file_path = {dir}/relay/daemon.pid
admin_groups = {group}
trusted_users = {user}
never_users =
deliver_drop_privilege = true
keep_environment =
disable_ipv6 = true
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port} : {tls_port}
tls_on_connect_ports = {tls_port}
tls_advertise_hosts = *
tls_certificate = {dir}/server.pem
tls_privatekey = {dir}/server.key
auth_advertise_hosts = *
chunking_advertise_hosts = {chunking}
pipelining_advertise_hosts = {pipelining}
dsn_advertise_hosts = *
smtputf8_advertise_hosts = {utf8}
accept_8bitmime = {eight_bit}
message_size_limit = {size_limit}
smtp_accept_max = 50
smtp_accept_queue_per_connection = 0
smtp_accept_max_nonmail = 100
smtp_banner = $primary_hostname ESMTP
host_lookup =
rfc1413_query_timeout = 0s
dns_dnssec_ok = 0
timeout_frozen_after = 1d
bounce_return_body = false
return_path_remove = false
delivery_date_remove = false
envelope_to_remove = false
queue_only = {queue}
no_local_from_check
log_selector = +smtp_confirmation
domainlist local_domains = {domains}
acl_smtp_mail = mail
acl_smtp_rcpt = rcpt
acl_smtp_data = data

begin acl
{acls}

begin routers
here:
  driver = accept
  domains = +local_domains
  local_parts = dsearch,filter=dir;{dir}/home
  transport = lda

# Dovecot's own, which tells those who wait for news; one at a time for each user: two that make a new user's files at
# once can crash each other.
begin transports
lda:
  driver = pipe
  command = {flock} {dir}/home/$local_part_data {lda} -c {dir}/dovecot.conf -o postmaster_address=root@localhost -o mail_home={dir}/home/$local_part_data
  delivery_date_add
  envelope_to_add
  return_path_add
  message_prefix =
  message_suffix =
  return_output
  use_shell = false

begin retry
* * F,2m,5s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{name}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{{name}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{name}}}{{{password}}}fail}}
  server_set_id = $auth1
"""

# Each ACL asks its file of answers first: "carol@example.org: 451 4.7.1 come back later".
ANSWER = """\
  defer condition = ${{if match{{${{lookup{{{key}}}lsearch{{{file}}}}}}}{{^4}}}}
        message = ${{lookup{{{key}}}lsearch{{{file}}}}}
  deny  condition = ${{if match{{${{lookup{{{key}}}lsearch{{{file}}}}}}}{{^5}}}}
        message = ${{lookup{{{key}}}lsearch{{{file}}}}}
"""
STAGES = {
    "mail": ("$sender_address", ""),
    "rcpt": ("$local_part@$domain", """\
  deny  !domains = +local_domains
        message = 550 5.7.1 mail for $domain does not leave this machine
  deny  !local_parts = dsearch,filter=dir;{dir}/home
        message = 550 5.1.1 there is no $local_part here
  deny  !authenticated = *
        message = 530 5.7.0 log in first
"""),
    "data": ("$sender_address", ""),
}


class Exim:
    """
    server         a Dovecot of server.py, which owns the directory, the user and the certificate
    people         further users: their mail is at DIR/home/NAME/mail/INBOX
    size_limit     SIZE, bytes
    chunking, pipelining, utf8, eight_bit    what EHLO offers
    queue          take messages, and deliver none before deliver()
    """

    def __init__(self, server, *, people=("bob", "carol"), size_limit=50_000_000, chunking=True, pipelining=True,
                 utf8=True, eight_bit=True, queue=False):
        self.server = server
        self.process = None
        self.exim = shutil.which("exim4", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if self.exim is None:
            raise RuntimeError("exim4 is not installed: run contrib/install")
        self.lda = "/usr/lib/dovecot/dovecot-lda"
        self.flock = shutil.which("flock")
        self.port, self.tls_port = free_ports(2)
        for name in people:
            os.makedirs(server.path("home", name, "mail"), exist_ok=True)
        os.makedirs(server.path("relay"), exist_ok=True)
        for stage in STAGES:
            with open(self.answers(stage), "a", encoding="utf-8"):
                pass
        group = subprocess.run(["id", "-gn", server.account.pw_name], capture_output=True, text=True, check=True)

        def hosts(offered):
            return "*" if offered else ""

        acls = "".join(
            f"{stage}:\n" + ANSWER.format(key=key, file=self.answers(stage)) + rules.format(dir=server.directory) +
            "  accept\n" for stage, (key, rules) in STAGES.items())
        with open(server.path("relay.conf"), "w", encoding="utf-8") as file:
            file.write(CONFIG.format(
                dir=server.directory, exim=self.exim, lda=self.lda, flock=self.flock, user=server.account.pw_name,
                group=group.stdout.strip(), port=self.port, tls_port=self.tls_port, name=server.user, password=server.password, acls=acls,
                chunking=hosts(chunking), pipelining=hosts(pipelining), utf8=hosts(utf8),
                eight_bit="true" if eight_bit else "false", size_limit=size_limit,
                queue="true" if queue else "false", domains=" : ".join(DOMAINS)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def answers(self, stage):
        return self.server.path(f"relay-{stage}")

    def answer(self, stage, address, reply):
        """From now on @reply ("550 5.1.1 text"), or None: as usual. Stages: "mail" and "data" by the sender, "rcpt"."""
        lines = []
        with open(self.answers(stage), encoding="utf-8") as file:
            lines = [line for line in file if not line.startswith(f"{address}:")]
        if reply is not None:
            lines.append(f"{address}: {reply}\n")
        with open(self.answers(stage) + ".new", "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.rename(self.answers(stage) + ".new", self.answers(stage))

    def run(self, *arguments, **options):
        return subprocess.Popen([self.exim, "-C", self.server.path("relay.conf"), *arguments], cwd="/",
                                stdin=subprocess.DEVNULL, start_new_session=True, **self.server.identity(), **options)

    def start(self):
        self.server.give_away()
        with open(self.server.path("relay-start.log"), "ab") as out:
            self.process = self.run("-bdf", "-q30m", stdout=out, stderr=out)
        with open(self.server.path("relay.pid"), "w", encoding="ascii") as file:
            file.write(f"{self.process.pid}\n")
        deadline = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as line:
                    line.settimeout(5)
                    if line.recv(4) == b"220 ":
                        return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("Exim did not start:\n" + self.tail())
            time.sleep(0.02)

    def tail(self):
        text = ""
        for name in ("relay-start.log", "relay/mainlog", "relay/paniclog"):
            if os.path.exists(self.server.path(name)):
                with open(self.server.path(name), encoding="utf-8", errors="replace") as file:
                    text += file.read()[-2000:]
        return text

    def stop(self, hard=False):
        if self.process is None:
            return
        stop_group(self.process.pid, hard, self.process.poll)
        self.process.wait()
        self.process = None
        if os.path.exists(self.server.path("relay.pid")):
            os.unlink(self.server.path("relay.pid"))

    def deliver(self):
        """With queue: what was taken is delivered now."""
        self.run("-qff").wait()

    def url(self, tls=False, host="localhost"):
        scheme, port = ("smtps", self.tls_port) if tls else ("smtp", self.port)
        return f"{scheme}://{urllib.parse.quote(self.server.user, safe='')}@{host}:{port}/"

    def delivered(self, name):
        """What this user got, as bytes in the order of arrival: Exim's own fields on top, LF line ends."""
        while True:
            found = {}  # a message may go from new to cur meanwhile, and be seen in both
            for folder in ("new", "cur"):
                path = self.server.path("home", name, "mail", "INBOX", folder)
                if os.path.isdir(path):
                    for file_name in os.listdir(path):
                        if ".sample" not in file_name:
                            found[file_name.split(":")[0]] = os.path.join(path, file_name)
            messages = []
            try:
                for path in sorted(found.values(), key=lambda path: (os.stat(path).st_mtime_ns, path)):
                    with open(path, "rb") as file:
                        messages.append(file.read())
            except FileNotFoundError:
                continue
            return messages
