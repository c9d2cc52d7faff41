# SPDX-License-Identifier: MIT
"""What the tests of POP3 accounts share: letters that say when they came, other clients, a line with bad luck."""
import contextlib
import email.utils
import os
import poplib
import re
import socket
import socketserver
import subprocess
import threading

from common import Dovecot, fetch_mailbox, listed, read, samples, wait_for

START = 1_790_000_000


def letter(number, size=600):
    """A message that says when it came."""
    date = START + 3600 * number
    text = ("A line of text.\r\n" * (size // 17)).encode()
    return samples.Message(("INBOX",), (
        f"Received: from a.example by b.example; {email.utils.formatdate(date)}\r\n"
        f"Received: from c.example by a.example; {email.utils.formatdate(date - 900)}\r\n"
        f"Message-ID: <{number}@pop.example>\r\nDate: {email.utils.formatdate(date - 1800)}\r\n"
        f"From: Alice <alice@example.org>\r\nTo: bob@example.org\r\nSubject: Letter {number}\r\n\r\n").encode() + text
        + b".\r\n..two dots\r\n", date=date)


def filled(count, **settings):
    server = Dovecot(**settings)
    server.fill(letter(number) for number in range(count))
    return server.start()


def deliver(server, number):
    """As a mail server does it: a file in new/."""
    path = os.path.join(server.folder(("INBOX",)), "new", f"{number}.delivered")
    with open(path, "wb") as file:
        file.write(letter(number).data)
    server.give_away()


def on_server(server):
    """Subjects of what is there, by IMAP."""
    return sorted(re.search(rb"Subject: (.*)\r\n", message.data).group(1).decode()
                  for message in fetch_mailbox(server, "INBOX").values())


def shown(inbox):
    return sorted("Letter " + re.search(r"Letter-(\d+)\.", name).group(1) for name in listed(inbox))


def file_of(inbox, number):
    return next(os.path.join(inbox, name) for name in listed(inbox) if f"_Letter-{number}." in name)


def look_again(place, mount, what):
    """what() of the directory, until it is true: it is asked for anew once dir-time is over."""
    assert wait_for(lambda: os.listdir(mount) and what(), 15, 0.1), (what, place)


def log_of(mount):
    return read(os.path.join(mount, ".mailfs", "log")).decode()


def pop(place, server, *options, tls=False, **rest):
    return place.mount(server, "dir-time=1", *options, url=server.pop_url(tls), **rest)


def phone_in(server):
    line = poplib.POP3("127.0.0.1", server.pop_port, timeout=10)
    line.user(server.user)
    line.pass_(server.password)
    return line


def phone_is_in(server):
    try:
        return phone_in(server)
    except poplib.error_proto:
        return None


def cat(path):
    """Read by a process of its own, so that no others are fetched ahead; None when that fails."""
    done = subprocess.run(["cat", path], capture_output=True, timeout=60, check=False)
    return done.stdout if done.returncode == 0 else None


class Between:
    """In the clear between mailfs and a server: hangs up when the client says @word, which the server never hears. While
    it is @busy, another client has the maildrop. The server knows none of the commands @without, and tells sizes that are
    @lies as large as they are."""

    def __init__(self, port, without=(), lies=1.0):
        self.word = None
        self.busy = False
        self.without = without
        self.lies = lies
        self.heard = []
        owner = self

        class Session(socketserver.BaseRequestHandler):
            def handle(self):
                if owner.busy:
                    owner.refuse(self.request.makefile("rwb", buffering=0))
                    return
                with socket.create_connection(("127.0.0.1", port)) as server, contextlib.suppress(OSError):
                    threading.Thread(target=owner.back, args=(server, self.request), daemon=True).start()
                    for line in self.request.makefile("rb"):
                        owner.heard.append(line[:4].decode())
                        if owner.word and line.startswith(owner.word):
                            break
                        server.sendall(b"X" + line if line[:4].strip().decode() in owner.without else line)
                    for side in (server, self.request):
                        side.shutdown(socket.SHUT_RDWR)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Session)
        self.url = f"pop3://alice@localhost:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def refuse(client):
        client.write(b"+OK ready\r\n")
        for line in client:
            word = line[:4].upper()
            client.write(b"-ERR [IN-USE] another client is in\r\n" if word == b"PASS" else
                         b"+OK\r\n" if word in (b"USER", b"QUIT") else b"-ERR\r\n")

    def back(self, server, client):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data if self.lies == 1 else re.sub(
                    rb"(?m)^(\d{1,3}) (\d{1,6})\r$", lambda line: b"%s %d\r" % (line[1], int(line[2]) * self.lies), data))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
