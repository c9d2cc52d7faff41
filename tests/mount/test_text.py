# SPDX-License-Identifier: MIT
""".text and .parts: what is in a message, for grep and for other programs."""
import base64
import email
import email.header
import errno
import os
import re
import subprocess

from common import (Dovecot, Place, append, expunge, fetch_mailbox, list_mailboxes, listed, main, mutf7, read, rsync, samples,
                    test, uid_of, wait_for)


def sample_server(**options):
    server = Dovecot(**options)
    server.fill(samples.sample_mail())
    return server


def files(directory):
    """Every file below, as paths from there."""
    return sorted(os.path.relpath(os.path.join(folder, name), directory)
                  for folder, _, names in os.walk(directory) for name in names)


def texts_of(message):
    """What a reader sees of a message, as Python has it: the decoded text/plain parts."""
    found = []
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            raw = part.get_payload(decode=True)
            try:
                text = raw.decode(part.get_content_charset() or "utf-8")
            except (LookupError, UnicodeDecodeError):
                continue
            found.append(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", " ", text.replace("\r\n", "\n")))
    return found


def name_of(part):
    """The file name of a part: RFC 2231 by Python, RFC 2047 by hand."""
    name = part.get_filename()
    return name and str(email.header.make_header(email.header.decode_header(name)))


@test("every message of the sample account is there, with the text that Python's email package finds in it")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        with place.mount(server) as mount:
            compared = 0
            for mailbox in list_mailboxes(server):
                path = "/".join(map(decoded, mailbox.split("/")))
                expected = fetch_mailbox(server, mailbox)
                for uid, found in expected.items():
                    text = read(os.path.join(mount, ".text", path, f"{uid}.txt")).decode("utf-8")
                    assert "\r" not in text and text.endswith("\n")
                    for want in texts_of(email.message_from_bytes(found.data)):
                        assert want.strip() in text, f"{mailbox}/{uid}: {want[:200]!r} is not in {text[:400]!r}"
                        compared += 1
                own = [name[:-4] for name in listed(os.path.join(mount, path))]
                assert [name[:-4] for name in listed(os.path.join(mount, ".text", path))] == own
                assert len(own) == len(expected)
            assert compared > 330, compared


def decoded(name):
    """One mailbox name as the mount shows it."""
    for message in samples.sample_mail():
        for part in message.mailbox:
            if mutf7(part) == name:
                return part.replace("%", "%25").replace(".", "%2E", 1) if part[0] == "." else part.replace("%", "%25")
    return name


@test("grep -r finds Japanese words in .text that it cannot find in the messages themselves")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        with place.mount(server) as mount:
            def grep(where):
                done = subprocess.run(["grep", "-rlF", "お世話に", where], cwd=mount, capture_output=True, text=True, check=False)
                assert done.stderr == "", done.stderr
                return {re.sub(r"\.(txt|eml)$", "", os.path.relpath(line, where)) for line in done.stdout.splitlines()}
            want = set()
            for path in files(mount):
                message = email.message_from_bytes(read(os.path.join(mount, path)))
                if any("お世話に" in text for text in texts_of(message)):
                    want.add(path[:-4])
            assert len(want) > 80, len(want)
            assert grep(".text") == want
            assert len(grep(".") & want) < len(want) / 4
            # Ends of lines are where grep expects them.
            assert subprocess.run(["grep", "-rqx", "See attachment.", ".text"], cwd=mount, check=False).returncode == 0


@test("the views are found by name, are not listed, and leave the tree as it is")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        with place.mount(server) as mount:
            assert not any(name.startswith(".") for name in os.listdir(mount))
            plain = files(mount)
            assert [name[:-4] for name in plain] == [name[:-4] for name in files(os.path.join(mount, ".text"))]
            assert len(plain) > 300, len(plain)
            for view in (".text", ".parts"):
                for name in ("nothing", "1.txt", "INBOX/999999.txt", "INBOX/999999", "INBOX/1.eml/header"):
                    assert not os.path.lexists(os.path.join(mount, view, name)), (view, name)
                for mode in (os.O_WRONLY, os.O_RDWR | os.O_CREAT):
                    try:
                        os.open(os.path.join(mount, view, "INBOX", "new.txt"), mode)
                        raise AssertionError("it was opened for writing")
                    except OSError:
                        pass


@test("cat, cp, tar and rsync get the same bytes, as many as stat says, cold and warm")
def _():
    with sample_server() as server:
        server.start()
        want = None
        for tool in ("cat", "cp -r", "tar", "rsync"):
            with Place() as place, place.mount(server) as mount:
                found = {}
                for view in (".text", ".parts"):
                    source, target = os.path.join(mount, view), place.path("copy" + view)
                    os.mkdir(target)
                    if tool == "cat":
                        for path in files(source):
                            os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
                            with open(os.path.join(target, path), "wb") as out:
                                subprocess.run(["cat", os.path.join(source, path)], stdout=out, check=True)
                    elif tool == "cp -r":
                        subprocess.run(["cp", "-r", source + "/.", target], check=True)
                    elif tool == "tar":
                        pack = place.path("pack.tar")
                        subprocess.run(["tar", "-C", source, "-cf", pack, "."], check=True)
                        subprocess.run(["tar", "--warning=no-timestamp", "-C", target, "-xf", pack], check=True)
                        subprocess.run(["chmod", "-R", "u+w", target], check=True)
                    else:
                        rsync(source, target, "--chmod=u+w")
                        again = rsync(source, target, "--chmod=u+w")
                        assert not [line for line in again if line.startswith(">f")], again
                    found.update({(view, path): read(os.path.join(target, path)) for path in files(target)})
                    for path in files(source):
                        size = os.stat(os.path.join(source, path)).st_size
                        assert size == len(found[view, path]), f"{tool} {view}/{path}: {size}, {len(found[view, path])}"
            want = want or found
            assert found.keys() == want.keys(), tool
            assert found == want, tool


@test("every attachment of the sample account has the bytes and the name that Python's email package finds")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        with place.mount(server) as mount:
            compared = 0
            for path in files(mount):
                data = read(os.path.join(mount, path))
                folder = os.path.join(mount, ".parts", path[:-4])
                want = {name_of(part): part.get_payload(decode=True)
                        for part in email.message_from_bytes(data).walk() if part.get_filename()}
                attachments = os.path.join(folder, "attachments")
                found = {name: read(os.path.join(attachments, name)) for name in os.listdir(attachments)} \
                    if os.path.isdir(attachments) else {}
                assert found == want, path
                header = data.split(b"\r\n\r\n")[0] + b"\r\n\r\n" if not data.startswith(b"\r\n") else b"\r\n"
                assert read(os.path.join(folder, "header")) == header, path
                compared += len(found)
            assert compared > 40, compared


def message(*parts, kind="mixed"):
    head = b"Message-ID: <%d@x>\r\nFrom: a@x.example\r\nSubject: parts\r\n" % id(parts)
    head += b"Content-Type: multipart/%s; boundary=b\r\n\r\n" % kind.encode()
    return head + b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def attached(name, data=b"x"):
    return (b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; " + name + b"\r\n\r\n" + base64.encodebytes(data).replace(b"\n", b"\r\n"))


@test("hostile names of attachments become harmless ones, and each is there")
def _():
    names = {
        b'filename="../../.ssh/authorized_keys"': "_._.._.ssh_authorized_keys",
        b'filename="/etc/passwd"': "_etc_passwd",
        b'filename="..\\\\..\\\\x"': "_._.._x",
        b'filename="."': "_", b'filename=".."': "_.", b'filename="-rf"': "_rf",
        b'filename=".bashrc"': "_bashrc",
        b"filename*=UTF-8''a%00b%0Ac%1B%5B31m": "a b c [31m",
        b"filename*=UTF-8''x%E2%80%AEgnp.exe": "x_gnp.exe",
        b'filename="same.txt"': "same.txt",
        b'filename="same.txt" ': "same~2.txt",
        b"filename*=UTF-8''" + b"%E6%BC%A2" * 2000 + b".pdf": "漢" * 65 + ".pdf",
        b'filename=""': None,
    }
    with Dovecot() as server, Place() as place:
        server.start()
        append(server, "INBOX", message(*(attached(name, name[:30]) for name in names)))
        with place.mount(server) as mount:
            folder = os.path.join(mount, ".parts", "INBOX", "1", "attachments")
            found = os.listdir(folder)
            assert len(found) == len(names) == len(set(found)), found
            for (name, want), shown in zip(names.items(), found):
                assert want is None or shown == want, (name, want, shown)
                assert read(os.path.join(folder, shown)) == name[:30]
                assert not re.match(r"[.-]", shown) and len(shown.encode()) <= 200 and shown.isprintable(), shown
            assert found[-1] == f"part-{len(names)}.bin", found


@test("bodies: text, HTML, both; alternatives once in .text, a message in a message, an empty attachment")
def _():
    plain = b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n" + "本文\r\n".encode("iso-2022-jp")
    html = (b"Content-Type: text/html; charset=shift_jis\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.encodebytes("<p>見出し</p><p>W<b>or</b>t</p>".encode("shift_jis")))
    inner = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nwithin\r\n"
    with Dovecot() as server, Place() as place:
        server.start()
        append(server, "INBOX", message(plain, html, kind="alternative"))
        append(server, "INBOX", message(html, attached(b"filename=empty", b"")))
        append(server, "INBOX", message(plain, inner))
        with place.mount(server) as mount:
            def text(uid):
                return read(os.path.join(mount, ".text", "INBOX", f"{uid}.txt")).decode().partition("\n\n")[2]

            def part(uid, name):
                return read(os.path.join(mount, ".parts", "INBOX", str(uid), name)).decode()
            assert text(1) == "本文\n", text(1)
            assert part(1, "body.txt") == "本文\n"
            assert part(1, "body.html") == "\ufeff<p>見出し</p><p>W<b>or</b>t</p>"
            assert text(2) == "見出し\n\nWort\n", text(2)
            assert sorted(os.listdir(os.path.join(mount, ".parts", "INBOX", "2"))) == ["attachments", "body.html", "header"]
            assert part(2, "attachments/empty") == ""
            assert os.stat(os.path.join(mount, ".parts", "INBOX", "2", "attachments", "empty")).st_size == 0
            assert text(3) == "本文\n\nwithin\n", text(3)
            assert part(3, "attachments/part-1.eml") == "Subject: inner\r\n\r\nwithin\r\n"


@test("an attachment of 30 MB comes whole, without being held in memory")
def _():
    with Dovecot() as server, Place() as place:
        server.start()
        data = samples.Writer(7).noise(30_000_000)
        append(server, "INBOX", message(b"\r\nsmall\r\n", attached(b"filename=big.bin", data)))
        with place.mount(server) as mount:
            path = os.path.join(mount, ".parts", "INBOX", "1", "attachments", "big.bin")
            assert os.stat(path).st_size == len(data)
            before = memory_of(place)
            assert read(path) == data
            grown = memory_of(place) - before
            assert "ASAN_OPTIONS" in os.environ or grown < 8_000_000, grown
            assert read(os.path.join(mount, ".text", "INBOX", "1.txt")).endswith(b"\n\nsmall\n")


def memory_of(place):
    """Bytes of memory that belong to the mount's process alone."""
    from common import processes  # pylint: disable=import-outside-toplevel
    pid = processes(place.directory)[0]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"RssAnon:\s+(\d+)", file.read()).group(1)) * 1024


@test("grep -r in .text of a cold mailbox asks the server for many messages at once")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.bulk_mail(300, 2000))
        server.start()
        with place.mount(server) as mount:
            found = subprocess.run(["grep", "-rc", "^Subject: Message", os.path.join(mount, ".text", "Bulk")],
                                   capture_output=True, text=True, check=True).stdout.splitlines()
            assert len(found) == 300 and all(line.endswith(":1") for line in found)
        fetches = 0
        for name in os.listdir(server.path("rawlog")):
            if name.endswith(".in"):
                fetches += read(server.path("rawlog", name)).count(b"BODY.PEEK[]")
        assert 0 < fetches < 60, fetches


@test("new messages appear, deleted ones go, and one that is gone says so")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(5, 1000, mailbox=("INBOX",)))
        server.start()
        with place.mount(server, "dir-time=1") as mount:
            for view in (".text", ".parts"):
                folder = os.path.join(mount, view, "INBOX")
                names = os.listdir(folder)
                assert len(names) == len(os.listdir(folder))
                uid = append(server, "INBOX", b"Subject: brand new\r\n\r\nNews.\r\n")
                assert wait_for(lambda f=folder, n=names: len(os.listdir(f)) == len(n) + 1), view
                new = next(name for name in os.listdir(folder) if name not in names)
                path = os.path.join(folder, new, "body.txt" if view == ".parts" else "")
                assert b"News.\n" in read(path.rstrip("/"))
                expunge(server, "INBOX", uid)
                assert wait_for(lambda f=folder, n=names: sorted(os.listdir(f)) == sorted(n)), view
                assert wait_for(lambda p=path.rstrip("/"): not os.path.exists(p)), view


@test("with the server gone, cached messages are still text, others fail at once")
def _():
    with sample_server() as server, Place() as place:
        server.start()
        with place.mount(server, "timeout=5") as mount:
            names = listed(os.path.join(mount, ".text", "INBOX"))
            cached = email.message_from_bytes(read(os.path.join(mount, "INBOX", names[0][:-4] + ".eml")))
            server.stop()
            assert texts_of(cached)[0] in read(os.path.join(mount, ".text", "INBOX", names[0])).decode()
            for path in (os.path.join(".text", "INBOX", names[5]), os.path.join(".parts", "INBOX", names[7][:-4], "header")):
                try:
                    read(os.path.join(mount, path))
                    raise AssertionError("it was read")
                except OSError as error:
                    # A Dovecot that goes down may refuse the last login.
                    assert error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EACCES), error


main()
