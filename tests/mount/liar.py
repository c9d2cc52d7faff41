# SPDX-License-Identifier: MIT
"""A small IMAP server, in the clear on loopback, that can be told to lie about sizes. IMAP4rev1 and no
extension: what a client gets to see of an old server."""
import re
import socketserver
import threading
import time

DATE = "21-Nov-2026 06:38:12 +0000"


class Liar:
    """
    folders    {raw mailbox name: {uid: message bytes}}
    size       what RFC822.SIZE is of a message's bytes; None: the item is left out
    parts      how BODY[]<0.9> is answered: "right", "refused" (BAD), "odd" (another origin), "generous" (one octet more
               than asked for), "nil"
    """

    def __init__(self, folders, size=len, parts="right"):
        self.folders = folders
        self.size = size
        self.parts = parts
        self.uidvalidity = 7
        self.commands = []
        owner = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    Conversation(owner, self.rfile, self.wfile).run()
                except (OSError, ValueError):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Session)
        self.port = self.server.server_address[1]
        self.password = "secret"
        self.ca = None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self):
        return f"imap://alice@localhost:{self.port}/"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Conversation:
    def __init__(self, owner, reader, writer):
        self.owner, self.reader, self.writer = owner, reader, writer
        self.mailbox = None

    def say(self, *parts):
        self.writer.write(b"".join(p if isinstance(p, bytes) else p.encode() for p in parts) + b"\r\n")

    def line(self):
        """One command, its literals put in as quoted strings."""
        text = b""
        while True:
            part = self.reader.readline()
            if not part:
                raise ValueError("closed")
            part = part.rstrip(b"\r\n")
            literal = re.search(rb"\{(\d+)(\+?)\}$", part)
            if not literal:
                return (text + part).decode("utf-8", "replace")
            if not literal.group(2):
                self.say("+ go on")
                self.writer.flush()
            text += part[:literal.start()] + b'"' + self.reader.read(int(literal.group(1))) + b'"'

    def run(self):
        self.say("* OK ready")
        while True:
            self.writer.flush()
            text = self.line()
            self.owner.commands.append(text)
            tag, _, rest = text.partition(" ")
            word, _, arguments = rest.partition(" ")
            word = word.upper()
            if word == "UID":
                word, _, arguments = arguments.partition(" ")
                word = "UID_" + word.upper()
            answer = getattr(self, "do_" + word.lower(), None)
            if answer is None:
                self.say(tag, " BAD unknown command")
            elif answer(tag, arguments) == "end":
                self.writer.flush()
                return

    def do_capability(self, tag, _):
        self.say("* CAPABILITY IMAP4rev1")
        self.say(tag, " OK done")

    def do_noop(self, tag, _):
        self.say(tag, " OK done")

    do_check = do_noop

    def do_login(self, tag, _):
        self.say(tag, " OK welcome")

    def do_authenticate(self, tag, arguments):
        if " " not in arguments:
            self.say("+ ")
            self.writer.flush()
            self.reader.readline()
        self.say(tag, " OK welcome")

    def do_list(self, tag, arguments):
        if re.search(r'""\s*$', arguments):
            self.say('* LIST (\\Noselect) "/" ""')
        else:
            for name in self.owner.folders:
                self.say('* LIST () "/" "', re.sub(r'(["\\])', r"\\\1", name), '"')
        self.say(tag, " OK done")

    do_lsub = do_list

    def do_status(self, tag, arguments):
        name = arguments.split('"')[1] if '"' in arguments else arguments.split()[0]
        messages = self.owner.folders.get(name, {})
        self.say(f'* STATUS "{name}" (MESSAGES {len(messages)} UIDNEXT {max(messages, default=0) + 1} '
                 f"UIDVALIDITY {self.owner.uidvalidity} UNSEEN 0)")
        self.say(tag, " OK done")

    def do_examine(self, tag, arguments):
        found = re.match(r'"((?:[^"\\]|\\.)*)"|(\S+)', arguments)
        name = found.group(2) or re.sub(r"\\(.)", r"\1", found.group(1))
        self.mailbox = self.owner.folders.get(name)
        if self.mailbox is None:
            self.say(tag, " NO no such mailbox")
            return
        self.say("* FLAGS (\\Seen)")
        self.say("* ", str(len(self.mailbox)), " EXISTS")
        self.say("* 0 RECENT")
        self.say("* OK [UIDVALIDITY ", str(self.owner.uidvalidity), "] ok")
        self.say("* OK [UIDNEXT ", str(max(self.mailbox, default=0) + 1), "] ok")
        self.say(tag, " OK [READ-ONLY] done")

    do_select = do_examine

    def do_logout(self, tag, _):
        self.say("* BYE bye")
        self.say(tag, " OK done")
        return "end"

    def uids(self, text):
        known = sorted(self.mailbox)
        wanted = set()
        for part in text.split(","):
            ends = [known[-1] if end == "*" and known else int(end) if end != "*" else 0 for end in part.split(":")]
            wanted.update(uid for uid in known if min(ends) <= uid <= max(ends))
        return sorted(wanted)

    def do_uid_fetch(self, tag, arguments):
        if self.mailbox is None:
            self.say(tag, " BAD no mailbox")
            return
        text, _, items = arguments.partition(" ")
        if self.owner.parts == "refused" and "]<" in items:
            self.say(tag, " BAD no parts")
            return
        numbers = {uid: number for number, uid in enumerate(sorted(self.mailbox), 1)}
        for uid in self.uids(text):
            self.fetch_one(uid, numbers[uid], items.upper())
        self.say(tag, " OK done")

    def fetch_one(self, uid, number, items):
        message = self.mailbox[uid]
        parts = [f"UID {uid}".encode()]
        if "FLAGS" in items:
            parts.append(b"FLAGS ()")
        if "INTERNALDATE" in items:
            parts.append(f'INTERNALDATE "{DATE}"'.encode())
        if "RFC822.SIZE" in items and self.owner.size(message) is not None:
            parts.append(f"RFC822.SIZE {self.owner.size(message)}".encode())
        fields = re.search(r"BODY(?:\.PEEK)?\[HEADER\.FIELDS \(([^)]*)\)\]", items)
        if fields:
            wanted = [word.strip('"') for word in fields.group(1).split()]
            head = message.partition(b"\r\n\r\n")[0] + b"\r\n"
            lines = re.findall(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", head)
            picked = b"".join(l for l in lines if l.partition(b":")[0].strip().decode().upper() in wanted) + b"\r\n"
            parts.append(b"BODY[HEADER.FIELDS (" + " ".join(wanted).encode() + b")] {%d}\r\n" % len(picked) + picked)
        if re.search(r"BODY(?:\.PEEK)?\[HEADER\](?!<)", items):
            head = message.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            parts.append(b"BODY[HEADER] {%d}\r\n" % len(head) + head)
        for body in re.finditer(r"BODY(?:\.PEEK)?\[\](?:<(\d+)\.(\d+)>)?", items):
            parts.append(self.octets(message, *body.groups()))
        self.say(f"* {number} FETCH (", b" ".join(parts), ")")

    def octets(self, message, first, count):
        """BODY[], or with @first and @count BODY[]<first>."""
        if first is None:
            return b"BODY[] {%d}\r\n" % len(message) + message
        first, count = int(first), int(count)
        data = message[first:first + count + (self.owner.parts == "generous")]
        if self.owner.parts == "nil":
            return b"BODY[]<%d> NIL" % first
        return b"BODY[]<%d> {%d}\r\n" % (first + 4 * (self.owner.parts == "odd"), len(data)) + data


if __name__ == "__main__":
    with Liar({"INBOX": {1: b"Subject: one\r\n\r\nBody\r\n"}}) as liar:
        print(liar.url(), flush=True)
        while True:
            time.sleep(60)
