# SPDX-License-Identifier: MIT
"""A proxy that reads along, for lines in the clear: it takes capabilities away, cuts at any byte of either direction, and
calls somebody at a chosen line."""
import re
import threading

from proxy import Proxy

# What a server without the capability refuses, and what it does not say.
COMMANDS = {b"MOVE": rb"UID MOVE |MOVE ", b"UIDPLUS": rb"UID EXPUNGE ", b"CONDSTORE": rb"", b"MULTIAPPEND": rb""}
LITERAL = re.compile(rb"\{(\d+)(\+?)\}\r?\n$")
CODES = re.compile(rb" ?\[(COPYUID|APPENDUID)[^\]]*\]")


class Lines:
    """Cuts one direction of a session into (is it a line?, bytes): lines with their ends, and pieces of literals."""

    def __init__(self):
        self.rest = b""
        self.literal = 0

    def feed(self, data):
        data = self.rest + data
        self.rest = b""
        while data:
            if self.literal:
                piece, data = data[:self.literal], data[self.literal:]
                self.literal -= len(piece)
                yield False, piece
                continue
            line, end, after = data.partition(b"\n")
            if not end:
                self.rest = data
                return
            line += end
            found = LITERAL.search(line)
            if found:
                self.literal = int(found.group(1))
            yield True, line
            data = after


class Filter(Proxy):
    """
    without      capabilities (names) that the server seems not to have
    commands     [(session, text)] of every command line that came, without its tag
    call(pattern, when, count, what)    what() is called at the count-th command that matches: `when` it has come ("before"
                 it goes on), when it has gone ("after"), or when its answer has come ("answer", which is then swallowed)
    cut_sent(after, reset)    as cut(after, reset), counting the bytes to the server
    """

    def __init__(self, port, without=()):
        self.set_without(without)
        self.commands = []
        self.serial = 0
        self.sent_budget = None
        self.trap = None
        super().__init__(port)

    def set_without(self, names):
        """Of sessions that begin from now on."""
        self.without = {name.encode() for name in names}

    def call(self, pattern, when, count, what):
        with self.lock:
            self.trap = dict(pattern=re.compile(pattern), when=when, count=count, what=what, tag=None)

    def cut_sent(self, after, reset=False):
        with self.lock:
            self.sent_budget, self.reset = after, reset

    def go_on(self):
        with self.lock:
            self.trap = None
            self.sent_budget = None
        super().go_on()

    # Inside

    def _carrier(self, client, server):
        with self.lock:
            self.serial += 1
            number = self.serial
        lines = {True: Lines(), False: Lines()}

        def carry(from_client, data):
            for is_line, piece in lines[from_client].feed(data):
                if from_client:
                    over = self._to_server(number, client, server, is_line, piece)
                else:
                    over = self._to_client(client, is_line, piece)
                if over:
                    return True
            return False

        return carry

    def _to_server(self, number, client, server, is_line, piece):
        trap = None
        if is_line:
            tag, _, text = piece.rstrip(b"\r\n").partition(b" ")
            self.commands.append((number, text.decode("utf-8", "replace")))
            if any(re.match(COMMANDS.get(name) or rb"(?!)", text, re.I) for name in self.without):
                client.sendall(tag + b" BAD Unknown command.\r\n")
                return False
            trap = self._trapped(text, tag)
        if trap == "before":
            return True
        with self.lock:
            budget = self.sent_budget
            if budget is not None:
                self.sent_budget = max(0, budget - len(piece)) or None
        if budget is not None and len(piece) >= budget:
            server.sendall(piece[:budget])
            return True
        server.sendall(piece)
        return trap == "after"

    def _trapped(self, text, tag):
        with self.lock:
            trap = self.trap
            if trap is None or trap["tag"] or not trap["pattern"].match(text.decode("utf-8", "replace")):
                return None
            trap["count"] -= 1
            if trap["count"] > 0:
                return None
            if trap["when"] == "answer":
                trap["tag"] = tag
                return None
            self.trap = None
        trap["what"]()
        return trap["when"]

    def _to_client(self, client, is_line, piece):
        if is_line:
            with self.lock:
                trap = self.trap
                swallow = trap is not None and trap["tag"] and piece.startswith(trap["tag"] + b" ")
                if swallow:
                    self.trap = None
            if swallow:
                trap["what"]()
                return True
            piece = self._poorer(piece)
        data, over = self._spend(piece)
        client.sendall(data)
        return over

    def _poorer(self, line):
        if not self.without:
            return line
        if re.match(rb"\* CAPABILITY |[^ ]+ OK \[CAPABILITY ", line):
            for name in self.without:
                line = re.sub(rb" " + re.escape(name) + rb"(?=[ \]\r])", b"", line)
        if b"UIDPLUS" in self.without and re.match(rb"\S+ OK ", line):
            line = CODES.sub(b"", line)
        return line


def bare_expunges(commands):
    """[(mailbox, command)]: what expunges everything that is marked, and in which mailbox, of [(session, text)]."""
    selected, found = {}, []
    for session, text in commands:
        words = re.match(r"(SELECT|EXAMINE) (.+?)(?: \(.*)?$", text, re.I)
        if words:
            selected[session] = words.group(2).strip('"')
        elif re.match(r"(EXPUNGE|CLOSE)\s*$", text, re.I):
            found.append((selected.get(session), text))
    return found


def later(seconds, what):
    timer = threading.Timer(seconds, what)
    timer.daemon = True
    timer.start()
    return timer
