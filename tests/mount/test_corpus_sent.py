# SPDX-License-Identifier: MIT
"""The corpus of real, foreign and malformed mail beside the project, sent whole: what the relay holds is what was
written, but for what is documented."""
import collections
import errno
import itertools
import os
import re

from common import CORPUS, Exim, Place, corpus, empty_server, listed, main, read, test, wait_for

# The sender says which one it is.
ENVELOPE = "X-Mailfs-Sender: letter{}@example.org\nX-Mailfs-Recipients: bob@example.org\n"
# What may be added, to a message that lacks it or has it empty.
ADDED = (b"date", b"message-id", b"mime-version", b"from", b"content-type", b"content-transfer-encoding", b"resent-date",
         b"resent-from", b"resent-message-id")
FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")


def fields(header):
    """[(lower-case name, whole field)] of a header with LF line ends."""
    found = []
    for line in header.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t") and found:
            found[-1] = (found[-1][0], found[-1][1] + line)
        else:
            name = FIELD.match(line)
            found.append((name[1].lower() if name else b"", line))
    return found


def parted(message):
    """(fields, body), LF line ends. The line that begins an mbox is no field."""
    message = message.replace(b"\r\n", b"\n")
    if message.startswith((b"From ", b">From ")):
        message = message.partition(b"\n")[2]
    if message.startswith(b"\n"):
        return [], message[1:]
    header, _, body = message.partition(b"\n\n")
    return fields(header if header.endswith(b"\n") else header + b"\n"), body


def queued(relay):
    """What Exim holds: {number: (fields, body)} without the Received of its own."""
    folder = relay.server.path("relay", "input")
    found = {}
    for name in os.listdir(folder):
        if not name.endswith("-H"):
            continue
        text = read(os.path.join(folder, name))
        # The envelope ends in an empty line; then each field, after its length, a mark and a blank.
        position = text.index(b"\n\n") + 2
        header = []
        while position < len(text):
            size = re.match(rb"(\d+)(.) ", text[position:position + 12])
            position += size.end()
            if size[2] not in (b"*",):
                header.append(text[position:position + int(size[1])])
            position += int(size[1])
        number = int(re.search(rb"\n<letter(\d+)@", text)[1])
        assert number not in found, f"{number} was sent twice"
        found[number] = (fields(b"".join(header[1:])), read(os.path.join(folder, name[:-2] + "-D")).partition(b"\n")[2])
    return found


def without(header, names):
    return [field for name, field in header if name not in names]


def differs(written, arrived):
    """What is not documented of the way from one to the other, or None."""
    header, body = written
    header = [(name, field) for name, field in header if name not in ADDED or field.partition(b":")[2].strip()]
    there = {name for name, _ in header}
    new = [name for name, _ in arrived[0] if name in ADDED and name not in there]
    expected = without(header, (b"bcc", b"resent-bcc"))
    for one, other in itertools.zip_longest(without(arrived[0], new), expected):
        if one != other:
            return f"{one!r:.200} for {other!r:.200}"
    return None if arrived[1] == (body if body.endswith(b"\n") or not body else body + b"\n") else "body"


def send(box, number, message):
    """None, or why it was refused."""
    name = os.path.join(box, f"letter-{number}.eml")
    try:
        with open(name, "wb") as file:
            file.write(ENVELOPE.format(number).encode() + message.data)
    except OSError as error:
        os.unlink(name)
        return errno.errorcode[error.errno]
    return None


@test("every file of the corpus is refused by close() with a reason, or reaches the relay as it was written")
def _():
    with empty_server("Sent") as server, Exim(server, queue=True) as relay, Place() as place:
        relay.start()
        options = (f"smtp={relay.url()}", "address=alice@example.org", "save-sent=no", "hold=0")
        with place.mount(server, *options) as mount:
            box = os.path.join(mount, "Outbox")
            # A first line that begins with a blank would belong to the envelope's last field.
            messages = [message for message in corpus() if message.data[:1] not in (b" ", b"\t")]
            assert len(messages) > 2500, len(messages)
            answers = [send(box, number, message) for number, message in enumerate(messages)]
            refused = collections.Counter(answer for answer in answers if answer)
            assert wait_for(lambda: not [name for name in listed(box) if name != "failed"], 60), listed(box)[:5]
            failed = [int(re.search(r"-(\d+)", name)[1]) for name in listed(os.path.join(box, "failed")) if name.endswith(".eml")]
        arrived = queued(relay)
        print(f"# {len(messages)} written: {len(arrived)} arrived, {dict(refused)} refused, {len(failed)} in failed/")
        odd = {number: differs(parted(messages[number].data), it) for number, it in arrived.items()}
        odd = {number: what for number, what in odd.items() if what}
        assert not odd, f"{len(odd)} arrived otherwise: {list(odd.items())[:5]}"
        assert len(arrived) + sum(refused.values()) + len(failed) == len(messages)
        assert set(refused) <= {"EINVAL"} and sum(refused.values()) < 100, refused


main(None if os.path.exists(CORPUS) else "the corpus is not here: ../shared/corpus/mail-samples.tar.zst")
