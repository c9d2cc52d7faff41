# SPDX-License-Identifier: MIT
"""A mail server that takes submissions, counts what it delivers, and hangs up where it is told to.

    with Postman() as postman:
        postman.cut_at = 117          # the next message's line ends at the 117th byte from its MAIL on
        postman.before_answer = True  # ... or, if that byte ends a command, when all but its answer is done
        ... postman.url, postman.delivered, postman.wait(lambda: postman.cuts == 1) ...
"""
import re
import socket
import struct
import threading

OFFERS = "PIPELINING\nCHUNKING\n8BITMIME\nSMTPUTF8\nSIZE 50000000\nAUTH PLAIN"


class Cut(Exception):
    pass


class Talk:
    """One connection."""

    def __init__(self, postman, line):
        self.postman, self.line = postman, line
        self.buffer = b""
        self.taken, self.cut_at = 0, None  # bytes since MAIL, and at which of them it ends
        self.doomed = False
        self.sender, self.recipients = None, []

    def more(self):
        """What has come reaches the byte to end at, and does not complete anything."""
        if self.cut_at is not None and self.taken + len(self.buffer) >= self.cut_at:
            raise Cut
        data = self.line.recv(65536)
        if not data:
            raise Cut
        self.buffer += data

    def take(self, number):
        while len(self.buffer) < number:
            self.more()
        data, self.buffer = self.buffer[:number], self.buffer[number:]
        self.count(number)
        return data

    def count(self, number):
        self.taken += number
        if self.cut_at is not None and self.taken >= self.cut_at:
            self.doomed = self.taken == self.cut_at and self.postman.before_answer
            if not self.doomed:
                raise Cut

    def take_line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        return self.take(self.buffer.index(b"\r\n") + 2)[:-2]

    def arm(self, line):
        """The MAIL of the message to end at has come."""
        with self.postman.changed:
            self.cut_at, self.postman.cut_at = self.postman.cut_at, None
        self.taken = 0
        self.count(len(line) + 2)

    def say(self, text):
        if self.doomed:
            raise Cut
        self.line.sendall(text.encode() + b"\r\n")

    def deliver(self, content):
        with self.postman.changed:
            self.postman.delivered.append((self.sender, tuple(self.recipients), content))
            self.postman.size = self.taken
            self.postman.changed.notify_all()
        self.sender, self.recipients = None, []
        self.say("250 2.0.0 taken")

    def data(self):
        self.say("354 go on")
        lines = []
        while (line := self.take_line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        self.deliver(b"".join(line + b"\r\n" for line in lines))

    def command(self, line):
        word = line.split(b" ")[0].upper()
        path = re.match(rb"(?:MAIL FROM|RCPT TO):<([^>]*)>", line)
        if word == b"EHLO":
            self.say("\r\n".join(f"250-{offer}" for offer in ("hello " + self.postman.offers).split("\n")) + "\r\n250 HELP")
        elif word == b"AUTH":
            self.say("235 2.7.0 in")
        elif word == b"MAIL":
            self.arm(line)
            self.sender = path.group(1).decode()
            self.say("250 2.1.0 go on")
        elif word == b"RCPT" and self.sender is not None:
            self.recipients.append(path.group(1).decode())
            self.say("250 2.1.5 go on")
        elif word == b"DATA" and self.recipients:
            self.data()
        elif word == b"BDAT" and self.recipients:
            self.deliver(self.take(int(line.split(b" ")[1])))
        elif word == b"RSET":
            self.sender, self.recipients = None, []
            self.say("250 2.0.0 forgotten")
        elif word == b"QUIT":
            self.say("221 2.0.0 bye")
            return False
        else:
            self.say("503 5.5.1 not now")
        return True

    def run(self):
        self.say("220 postman")
        while self.command(self.take_line()):
            pass


class Postman:
    def __init__(self, offers=OFFERS):
        self.offers = offers
        self.cut_at, self.before_answer, self.reset = None, False, False
        self.changed = threading.Condition()
        self.delivered, self.cuts = [], 0
        self.size = 0  # bytes from MAIL to the end of the one delivered last
        self.lines = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"smtp://alice@localhost:{self.port}/"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self.serve, args=(line,))
            with self.changed:
                self.lines.add(line)
                self.threads.append(thread)
            thread.start()

    def serve(self, line):
        talk = Talk(self, line)
        try:
            talk.run()
        except (Cut, OSError):
            if self.reset:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self.changed:
            self.lines.discard(line)
            line.close()
            if talk.cut_at is not None:
                self.cuts += 1
            self.changed.notify_all()

    def wait(self, what, timeout=20):
        """Until what() is true, asked when something has happened."""
        with self.changed:
            assert self.changed.wait_for(what, timeout), "the postman waits for what does not come"

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.changed:
            for line in self.lines:
                line.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
