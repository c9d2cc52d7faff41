#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sample mail: the same messages on every machine, made from a seeded generator.

sample_mail() is a small account with something of everything; bulk_mail() is many messages of one
mean size, for measurements. Both yield Message values with CRLF line ends.

    contrib/samples.py DIR [--bulk N --size BYTES]      writes them as files under DIR
"""

import argparse
import base64
import datetime
import os
import quopri
import random
from typing import NamedTuple, Tuple


class Message(NamedTuple):
    mailbox: Tuple[str, ...]  # components in Unicode; ("INBOX",) is the inbox
    data: bytes
    flags: str = ""  # Maildir letters: D draft, F flagged, R answered, S seen, T deleted
    keywords: Tuple[str, ...] = ()
    date: int = 0  # INTERNALDATE, seconds since 1970


START = 1_767_225_600  # 2026-01-01 00:00:00 UTC

PEOPLE = [
    ("Alice Adams", "alice@example.org"),
    ("Bob Brown", "bob@example.com"),
    ("Carla Conti", "carla@example.net"),
    ("Jürgen Groß", "juergen@example.org"),
    ("山田太郎", "yamada@example.jp"),
    ("佐藤花子", "sato@example.jp"),
    ("Zoë O'Neil", "zoe@example.com"),
    ("Ирина Петрова", "irina@example.net"),
]

SUBJECTS = [
    "Invoice {n}", "Minutes of the meeting, week {n}", "Your ticket #{n} was answered",
    "Grüße aus München ({n})", "Re: [list] patch v{n}: fix the off-by-one", "Lunch?",
    "Release 1.{n} is out!", "50% off / only today", "Réunion n° {n} reportée",
]

SUBJECTS_JA = ["会議のお知らせ 第{n}回", "請求書{n}号", "お見積りの件", "Re: 打ち合わせ", "ご注文ありがとうございます"]

WORDS = (
    "mail server folder message line letter today tomorrow report number please find attached the of "
    "and a to in is that we you it for on with as be at this have from or by not but what all were when "
    "can said there use each which she do how their if will up other about out many then them these so"
).split()

WORDS_JA = ["本日は", "お世話に", "なって", "おります。", "資料を", "添付", "します。", "ご確認", "ください。", "会議は", "来週", "です。"]


def encoded_word(text, charset="utf-8", how="B"):
    """RFC 2047 words of at most 75 characters, never splitting a character."""
    words, chunk = [], ""
    for char in text + "\0":
        if char != "\0" and len((chunk + char).encode(charset, "replace")) <= 36:
            chunk += char
            continue
        raw = chunk.encode(charset, "replace")
        if how == "B":
            body = base64.b64encode(raw).decode()
        else:
            body = "".join(chr(b) if chr(b).isalnum() and b < 128 else "_" if b == 32 else f"={b:02X}"
                           for b in raw)
        words.append(f"=?{charset}?{how}?{body}?=")
        chunk = char
    return "\r\n ".join(words)


def header_text(text, charset="utf-8", how="B"):
    if text.isascii():
        return text
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        charset = "utf-8"
    return encoded_word(text, charset, how)


def rfc5322_date(seconds, zone_hours):
    zone = datetime.timezone(datetime.timedelta(hours=zone_hours))
    when = datetime.datetime.fromtimestamp(seconds, zone)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[when.weekday()]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun",
             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[when.month - 1]
    return f"{day}, {when.day} {month} {when:%Y %H:%M:%S %z}"


def base64_lines(raw):
    text = base64.b64encode(raw)
    return b"\r\n".join(text[i:i + 76] for i in range(0, len(text), 76))


class Writer:
    """Puts messages together; every choice comes from one seeded generator."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.count = 0

    def pick(self, items):
        return items[int(self.random.random() * len(items))]

    def below(self, n):
        return int(self.random.random() * n)

    def noise(self, size):
        return self.random.getrandbits(8 * size).to_bytes(size, "big")

    def prose(self, words, source=WORDS, joiner=" "):
        lines, line = [], []
        for _ in range(words):
            line.append(self.pick(source))
            if len(joiner.join(line)) > (60 if source is WORDS else 30):
                lines.append(joiner.join(line))
                line = []
        lines.append(joiner.join(line))
        return "\r\n".join(lines) + "\r\n"

    def headers(self, subject, *, charset="utf-8", how="B", reply_to=None, date=None, extra=()):
        """Message-ID, and the header block without its closing empty line."""
        self.count += 1
        seconds = START + self.count * 7919 if date is None else date
        name, address = self.pick(PEOPLE)
        message_id = f"<{self.count}.{self.below(10**9):09d}@sample.example>"
        lines = [
            f"Message-ID: {message_id}",
            f"Date: {rfc5322_date(seconds, self.pick((0, 1, 9, -5)))}",
            f"From: {header_text(name, charset, how)} <{address}>",
            "To: Alice Adams <alice@example.org>",
        ]
        if subject is not None:
            lines.append(f"Subject: {header_text(subject, charset, how)}")
        if reply_to:
            lines += [f"In-Reply-To: {reply_to}", f"References: {reply_to}"]
        lines += list(extra)
        return message_id, seconds, "\r\n".join(lines).encode("utf-8") + b"\r\n"

    def plain(self, subject, text, charset="utf-8", transfer="8bit"):
        raw = text.encode(charset, "replace")
        if transfer == "base64":
            raw = base64_lines(raw) + b"\r\n"
        elif transfer == "quoted-printable":
            raw = quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        mime = (f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\n"
                f"Content-Transfer-Encoding: {transfer}\r\n\r\n").encode()
        return mime + raw

    def multipart(self, kind, parts):
        boundary = f"=_{self.below(10**9):09d}_sample"
        body = f"MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n".encode()
        for part in parts:
            body += f"--{boundary}\r\n".encode() + part + b"\r\n"
        return body + f"--{boundary}--\r\n".encode()

    def text_part(self, text, kind="plain", charset="utf-8"):
        raw = base64_lines(text.encode(charset, "replace"))
        return (f"Content-Type: text/{kind}; charset={charset}\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n").encode() + raw + b"\r\n"

    def attachment(self, file_name, mime_type, raw):
        quoted = header_text(file_name)
        return (f"Content-Type: {mime_type}; name=\"{quoted}\"\r\n"
                "Content-Transfer-Encoding: base64\r\n"
                f"Content-Disposition: attachment; filename=\"{quoted}\"\r\n\r\n").encode() + base64_lines(raw) + b"\r\n"


FLAGS = ("", "", "", "S", "S", "S", "RS", "FS", "F", "FRS")
KEYWORDS = ((), (), (), (), ("$Forwarded",), ("work",), ("work", "$Label1"))


def ordinary(w, mailbox, number):
    """One message of the everyday kind, of which there are many."""
    japanese = number % 3 == 0
    subject = w.pick(SUBJECTS_JA if japanese else SUBJECTS).format(n=number)
    if japanese:
        charset, how = w.pick((("iso-2022-jp", "B"), ("utf-8", "B"), ("utf-8", "Q"), ("shift_jis", "B")))
        text = w.prose(10 + w.below(150), WORDS_JA, "")
        transfer = {"iso-2022-jp": "7bit", "shift_jis": "base64"}.get(charset, "quoted-printable")
    else:
        charset, how, transfer = "utf-8", w.pick("BQ"), w.pick(("8bit", "quoted-printable", "base64"))
        text = w.prose(20 + w.below(600))
    _, seconds, head = w.headers(subject, charset=charset, how=how)
    shape = w.below(10)
    if shape < 6:
        body = w.plain(subject, text, charset, transfer)
    elif shape < 8:
        html = f"<html><body><h1>{subject}</h1><p>{text}</p></body></html>\r\n"
        body = w.multipart("alternative", [w.text_part(text), w.text_part(html, "html")])
    else:
        file_name = w.pick(("report.pdf", "写真.jpg", "Übersicht 2026.xlsx", "notes.txt"))
        body = w.multipart("mixed", [w.text_part(text),
                                     w.attachment(file_name, "application/octet-stream",
                                                  w.noise(500 + w.below(40_000)))])
    # The server got it a while after it was written, as mail does.
    return Message(mailbox, head + body, w.pick(FLAGS), w.pick(KEYWORDS), seconds + 1 + w.below(5000))


def thread(w, mailbox, subject, length):
    root = None
    for i in range(length):
        message_id, seconds, head = w.headers(("Re: " if i else "") + subject, reply_to=root)
        root = root or message_id
        yield Message(mailbox, head + w.plain(subject, w.prose(40)), "S" if i < length - 1 else "",
                      (), seconds + 60)


def odd(w, mailbox):
    """What real mailboxes hold and programs trip over."""
    when = START + 86_400 * 40
    text = "A short body.\r\n"

    def make(subject, flags="", **rest):
        _, seconds, head = w.headers(subject, **rest)
        return Message(mailbox, head + w.plain(subject, text), flags, (), seconds)

    yield make("")
    yield make(None)
    yield make("   ")
    yield make("../../etc/passwd")
    yield make("-rf *; $(reboot) `id` | less > /dev/null")
    yield make("colour \x1b[31mred\x1b[0m and a bell \x07")
    yield make("right\u202eto left, zero\u200bwidth, \ufeffmark")
    yield make("🎉 party 🎂 time 👨‍👩‍👧")
    yield make("e\u0301 composed later, \u00e9 composed before")
    yield make("שלום עולם")
    yield make("very long " * 60)
    yield make("漢字だけの長い件名" * 20)
    yield make("ﾊﾝｶｸ ｶﾅ ①②③", charset="cp932", how="B")
    yield make("The same twice", date=when, flags="D")
    for _ in range(3):
        # The same name three times: headers and date do not tell them apart.
        head = (b"Message-ID: <twin@sample.example>\r\nDate: Tue, 10 Feb 2026 00:00:00 +0000\r\n"
                b"From: twin@sample.example\r\nSubject: Twin\r\n\r\n")
        yield Message(mailbox, head + b"Twin.\r\n", "S", (), when)
    yield Message(mailbox, b"\r\nNo header at all.\r\n", "", (), when + 1)
    yield Message(mailbox, b"Subject: only this\r\n\r\n", "", (), when + 2)
    yield Message(mailbox, b"Subject: caf\xe9 in Latin-1, raw\r\nFrom: x@y.example\r\n\r\nBody\r\n", "", (), when + 3)
    yield Message(mailbox, "Subject: raw 日本語 in UTF-8\r\nFrom: x@y.example\r\n\r\n本文\r\n".encode(), "", (), when + 4)
    yield Message(mailbox, b"Subject: raw " + "日本語".encode("shift_jis") + b"\r\nFrom: x@y.example\r\n\r\nBody\r\n",
                  "", (), when + 5)
    # One character split over two encoded words, as broken mailers do.
    raw = "分割された件名".encode("iso-2022-jp")
    split = " ".join(f"=?ISO-2022-JP?B?{base64.b64encode(raw[i:i + 10]).decode()}?=" for i in range(0, len(raw), 10))
    yield Message(mailbox, f"Subject: {split}\r\nFrom: x@y.example\r\n\r\nBody\r\n".encode(), "", (), when + 6)
    yield Message(mailbox, b"From: x@y.example\r\nSubject: last line without an end\r\n\r\nno newline here", "", (), when + 7)
    yield Message(mailbox, b"From: x@y.example\r\nSubject: received long ago\r\n\r\nOld.\r\n", "S", (), 86_400)
    yield Message(mailbox, b"From: x@y.example\r\nSubject: received in 2037\r\n\r\nNew.\r\n", "S", (), 2_130_000_000)
    nested = w.plain("inner", text)
    for _ in range(20):
        nested = w.multipart("mixed", [nested])
    _, seconds, head = w.headers("Twenty boxes in each other")
    yield Message(mailbox, head + nested, "", (), seconds)


def large(w, mailbox, size):
    _, seconds, head = w.headers(f"A scan of {size // 1_000_000} MB")
    body = w.multipart("mixed", [w.text_part("See attachment.\r\n"),
                                 w.attachment("scan.tiff", "image/tiff", w.noise(size * 54 // 74))])
    return Message(mailbox, head + body, "", (), seconds)


def sample_mail(seed=1):
    """A few hundred messages, and by their mailboxes the tree of a small account."""
    w = Writer(seed)
    inbox = ("INBOX",)
    for number in range(120):
        yield ordinary(w, inbox, number)
    yield from thread(w, inbox, "Where shall we meet?", 6)
    yield from thread(w, inbox, "夏休みの予定", 4)
    yield from odd(w, inbox)
    yield large(w, inbox, 1_000_000)
    for mailbox, count in (
        (("INBOX", "Projects"), 12),
        (("Archive", "2024"), 15),  # Archive itself takes no messages
        (("Archive", "2025"), 25),
        (("Archive", "2025", "Q1", "January", "Week 1"), 3),
        (("Sent",), 20),
        (("Drafts",), 3),
        (("Trash",), 5),
        (("Junk",), 5),
        (("R&D",), 8),
        (("With spaces in it",), 4),
        (("日本語",), 20),
        (("日本語", "請求書"), 6),
        (("50% (50-50) ~x",), 2),
        ((".hidden",), 1),
        (("Lists", "linux-mail"), 40),
    ):
        for number in range(count):
            yield ordinary(w, mailbox, number)
    yield from thread(w, ("Lists", "linux-mail"), "[RFC] a better idea", 12)
    yield large(w, ("Archive", "2025"), 5_000_000)


def bulk_mail(count, mean_size, seed=2, mailbox=("Bulk",)):
    """@count messages of @mean_size bytes in the mean (from a third of it to three times it)."""
    w = Writer(seed)
    text = w.prose(50_000).encode()
    for number in range(count):
        _, seconds, head = w.headers(f"Message {number} of the bulk", date=START + number * 61)
        head += b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        # Three sizes in the proportion 6:3:1 whose mean is 1.
        size = mean_size * (0.55, 0.55, 0.55, 0.55, 0.55, 0.55, 1.25, 1.25, 1.25, 2.95)[w.below(10)]
        size = max(0, int(size) - len(head) - 2)
        start = w.below(len(text) // 2)
        body = text[start:start + size]
        while len(body) < size:
            body += text[:size - len(body)]
        # No cut may leave half a line end.
        body = body.strip(b"\r\n")
        yield Message(mailbox, head + body + b"\r\n", w.pick(FLAGS), (), seconds)


def main():
    parser = argparse.ArgumentParser(description="Write the sample mail as files under a directory.")
    parser.add_argument("directory")
    parser.add_argument("--bulk", type=int, metavar="N", help="N messages for measurements instead")
    parser.add_argument("--size", type=int, default=4096, metavar="BYTES", help="their mean size (4096)")
    arguments = parser.parse_args()
    mail = bulk_mail(arguments.bulk, arguments.size) if arguments.bulk else sample_mail()
    count = 0
    for count, message in enumerate(mail, 1):
        folder = os.path.join(arguments.directory, *(part.replace("/", "%2F") for part in message.mailbox))
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"{count:06d}.eml")
        with open(path, "wb") as file:
            file.write(message.data)
        os.utime(path, (message.date, message.date))
    print(f"{count} messages under {arguments.directory}")


if __name__ == "__main__":
    main()
