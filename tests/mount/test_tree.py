# SPDX-License-Identifier: MIT
"""The tree: which directories there are, how they are named, and how their files are."""
import os
import re
import stat
import subprocess

from common import (Dovecot, Place, compare_folder, fetch_mailbox, folders, list_mailboxes, listed, main, mutf7, names,
                    read, samples, test, uid_of)
from liar import Liar

FOLDERS = ["%2Ehidden", "50%25 (50-50) ~x", "Archive", "Drafts", "INBOX", "Junk", "Lists", "R&D", "Sent", "Trash",
           "With spaces in it", "日本語"]


def names_of_folder(raw):
    """A component of the sample mail's mailbox names, as the tree shows it."""
    shown = {mutf7(part): part for message in samples.sample_mail() for part in message.mailbox}[raw]
    return shown.replace("%", "%25").replace(".hidden", "%2Ehidden")


def check_sample_tree(server, mount, raw_name):
    """All folders of the sample mail, each compared with the server; @raw_name makes the server's name of one."""
    assert folders(mount) == sorted(FOLDERS), folders(mount)
    counted = 0
    for folder in sorted({message.mailbox for message in samples.sample_mail()}):
        path = os.path.join(mount, *(part.replace("%", "%25").replace(".hidden", "%2Ehidden") for part in folder))
        counted += compare_folder(path, fetch_mailbox(server, raw_name(folder)))
    assert counted == sum(1 for _ in samples.sample_mail())


@test("the sample account: every folder is there under its name, every file is what the server tells")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            check_sample_tree(server, mount, lambda folder: "/".join(map(mutf7, folder)))


@test("a personal namespace INBOX. with the separator . shows the same tree")
def _():
    with Dovecot(separator=".", prefix="INBOX.") as server, Place() as place:
        # Its INBOX can hold no Projects beside the personal mailboxes: INBOX.Projects is one of those.
        mail = [m for m in samples.sample_mail() if m.mailbox not in (("INBOX", "Projects"), (".hidden",))]
        server.fill(mail)
        server.start()
        with place.mount(server) as mount:
            assert folders(mount) == sorted(set(FOLDERS) - {"%2Ehidden"}), folders(mount)
            for folder in sorted({message.mailbox for message in mail}):
                raw = "INBOX" if folder == ("INBOX",) else "INBOX." + ".".join(map(mutf7, folder))
                path = os.path.join(mount, *(part.replace("%", "%25") for part in folder))
                compare_folder(path, fetch_mailbox(server, raw))


@test("old servers: without LIST-STATUS, SPECIAL-USE, QRESYNC, CONDSTORE the tree is the same")
def _():
    without = ("LIST-STATUS", "LIST-EXTENDED", "SPECIAL-USE", "QRESYNC", "CONDSTORE", "LITERAL+", "NAMESPACE", "ID",
               "ENABLE", "SASL-IR", "IDLE", "UNSELECT", "ESEARCH", "CHILDREN", "UIDPLUS")
    with Dovecot(without=without) as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            check_sample_tree(server, mount, lambda folder: "/".join(map(mutf7, folder)))


@test("a folder that takes no messages is a directory without files")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            assert listed(os.path.join(mount, "Archive")) == []
            assert folders(os.path.join(mount, "Archive")) == ["2024", "2025"]
            assert listed(os.path.join(mount, "Archive", "2025", "Q1", "January")) == []
            assert listed(mount) == [], "there are no files at the top"


def check_odd_folders(server, raw_names, spelt, **mount):
    """@raw_names all show, under names fit for a terminal (those in @spelt under just those), and each opens its own."""
    with Place() as place, place.mount(server, **mount) as top:
        shown = [os.path.relpath(path, top) for path, _, _ in os.walk(top) if path != top]
        found = {}
        for path in shown:
            for name in path.split("/"):
                assert not name.startswith(".") and len(name.encode("utf-8", "surrogateescape")) <= 255, name
                name.encode("utf-8")  # valid
                assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", name), name
            for file in listed(os.path.join(top, path)):
                word = re.search(rb"in <([0-9a-f]*)>", read(os.path.join(top, path, file))).group(1)
                found.setdefault(bytes.fromhex(word.decode()).decode(), []).append(path)
        assert sorted(found) == sorted(raw_names), set(raw_names) ^ set(found)
        assert all(len(paths) == 1 for paths in found.values()), found
        assert len({paths[0] for paths in found.values()}) == len(raw_names), "two mailboxes under one name"
        for raw, name in spelt.items():
            assert found[raw] == [name], f"{raw!r} is shown as {found[raw]}, not as {name!r}"


def message_in(raw):
    return b"Subject: in <%s>\r\n\r\nBody\r\n" % raw.encode().hex().encode()


@test("folder names of Dovecot: slash, percent, dot, bidi and long ones are escaped, none is hidden")
def _():
    spelt = {"a/b": "a%2Fb", "100%": "100%25", "caf&AOk-": "café", "~": "~", "..": "%2E.", "x" * 200: "x" * 200, "A": "A",
             "a": "a", "trailing ": "trailing "}
    with Dovecot(separator="^", plugins=["listescape"]) as server:
        server.start()
        line = server.client()
        for raw in (*spelt, "&IC4-bidi"):
            kind, answer = line.create('"' + raw + '"')
            assert kind == "OK", (raw, answer)
            line.append('"' + raw + '"', "", None, message_in(raw))
        line.append("INBOX", "", None, message_in("INBOX"))
        line.logout()
        check_odd_folders(server, [*spelt, "&IC4-bidi", "INBOX"], spelt)


@test("folder names of a careless server: none is lost, none is dangerous, each opens its own mailbox")
def _():
    spelt = {"INBOX": "INBOX", "plain": "plain", "quo\"te": 'quo"te', "back\\slash": "back\\slash", "&ZeVnLIqe-": "日本語",
             "&ZeVnLIqe-/&istsQmb4-": "日本語/請求書", "R&-D": "R&D", "a%": "a%25", "*": "*", "-rf": "-rf"}
    raws = [*spelt, "&Jjo", "&", "&AGE-", "a", "tab&AAk-", "esc&ABs-[31m", "nul&AAA-", "raw café", "x" * 300, "x" * 299 + "y",
            ".", "..", "../up", "CON", " ", "a/&AC8-/b", "plain/.hidden", "%2F", "1.eml", ".mailfs", "&2D3-"]
    with Liar({raw: {1: message_in(raw)} for raw in raws}) as liar:
        check_odd_folders(liar, raws, spelt, tls=False)


@test("message names are those that a second implementation of the rule computes")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            checked = 0
            for box in list_mailboxes(server):
                expected = fetch_mailbox(server, box)
                folder = os.path.join(mount, *(names_of_folder(part) for part in box.split("/")))
                taken = {}
                for name in sorted(listed(folder), key=lambda name: uid_of(os.path.join(folder, name))):
                    message = expected[uid_of(os.path.join(folder, name))]
                    plain = names.name_of(message.date, message.uid, message.data)
                    taken[plain] = taken.get(plain, 0) + 1
                    want = plain + (f"~{taken[plain]}" if taken[plain] > 1 else "") + ".eml"
                    assert name == want, (name, want)
                    checked += 1
                if box == "INBOX":
                    assert 3 in taken.values(), "no three of one name"
            assert checked == sum(1 for _ in samples.sample_mail()), checked
            text = subprocess.run(["ls", os.path.join(mount, "INBOX")], capture_output=True, check=True).stdout.decode()
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u200b\u202e\ufeff]", text)
            assert any("_会議のお知らせ" in name for name in text.splitlines())


@test("message names are the same after the cache is lost, after a copy, and after UIDVALIDITY changed")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            before = listed(os.path.join(mount, "日本語"))
        line = server.client()
        raw = mutf7("日本語")
        line.create("Copy")
        line.select(f'"{raw}"')
        line.uid("COPY", "1:*", "Copy")
        line.logout()
        place.forget()
        with place.mount(server) as mount:
            assert listed(os.path.join(mount, "日本語")) == before
            assert listed(os.path.join(mount, "Copy")) == before


@test("names=uid lists <uid>.eml and asks for no header")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server, "names=uid") as mount:
            folder = os.path.join(mount, "INBOX")
            found = listed(folder)
            assert found == [f"{uid}.eml" for uid in range(1, len(found) + 1)], found[:5]
            compare_folder(folder, fetch_mailbox(server, "INBOX"))
        asked = [line for line in server.commands() if "HEADER.FIELDS" in line.upper() or "ENVELOPE" in line.upper()]
        assert asked == [], asked[:3]


@test("<uid>.eml opens the same inode as the listed name, and is not listed")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            folder = os.path.join(mount, "INBOX", "Projects")
            for name in listed(folder):
                alias = os.path.join(folder, f"{uid_of(os.path.join(folder, name))}.eml")
                assert os.stat(alias).st_ino == os.stat(os.path.join(folder, name)).st_ino
                assert os.path.basename(alias) not in listed(folder)
            for wrong in ("0.eml", "01.eml", "999999.eml", "4294967297.eml", "-1.eml", "1.EML", "1.txt", "1.eml.eml"):
                assert not os.path.exists(os.path.join(folder, wrong)), wrong


@test("inode numbers rise with the UID, and the listing comes in that order")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(500, 1000))
        server.start()
        with place.mount(server) as mount:
            with os.scandir(os.path.join(mount, "Bulk")) as entries:
                found = [(entry.inode(), uid_of(entry.path)) for entry in entries]
            assert found == sorted(found), "inode order"
            assert [uid for _, uid in found] == list(range(1, 501))


@test("modes: files 0600 and directories 0700, the owner's; with ro 0400")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        for options, file_mode in (((), 0o600), (("ro",), 0o400)):
            with place.mount(server, *options) as mount:
                status = os.stat(mount)
                assert stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o577 == 0o500, oct(status.st_mode)
                folder = os.path.join(mount, "Sent")
                assert stat.S_IMODE(os.stat(folder).st_mode) & 0o577 == 0o500
                for name in listed(folder):
                    status = os.stat(os.path.join(folder, name))
                    assert stat.S_IMODE(status.st_mode) == file_mode, oct(status.st_mode)
                    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
                    assert stat.S_ISREG(status.st_mode)


@test("by-name-only directories are never listed, and work")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            assert ".mailfs" not in os.listdir(mount)
            assert os.path.isdir(os.path.join(mount, ".mailfs"))
            assert not os.path.exists(os.path.join(mount, ".nothing"))
            assert not os.path.exists(os.path.join(mount, "nothing"))
            found = subprocess.run(["find", mount, "-name", ".mailfs"], capture_output=True, text=True, check=True)
            assert found.stdout == ""


@test("a listing is a few commands for a whole folder, never one a message")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.bulk_mail(3000, 1000))
        server.start()
        with place.mount(server) as mount:
            assert len(listed(os.path.join(mount, "Bulk"))) == 3000
            subprocess.run(["ls", "-l", os.path.join(mount, "Bulk")], stdout=subprocess.DEVNULL, check=True)
        first = [line for line in server.commands() if "FETCH" in line.upper()]
        assert 1 <= len(first) <= 12, first[:20]
        with place.mount(server) as mount:
            assert len(listed(os.path.join(mount, "Bulk"))) == 3000
        second = [line for line in server.commands() if "HEADER.FIELDS" in line.upper()][len(
            [line for line in first if "HEADER.FIELDS" in line.upper()]):]
        assert not any(" 1:*" in line and "CHANGEDSINCE" not in line.upper() for line in second), second


@test("writing is refused, and with ro the mailbox is only EXAMINEd")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server, "ro") as mount:
            path = os.path.join(mount, "Sent", listed(os.path.join(mount, "Sent"))[0])
            for act in (lambda: open(path, "r+b"), lambda: os.unlink(path), lambda: os.mkdir(os.path.join(mount, "New")),
                        lambda: os.rmdir(os.path.join(mount, "Junk")), lambda: os.rename(path, path + "x"),
                        lambda: open(os.path.join(mount, "Sent", "new.eml"), "wb"), lambda: os.truncate(path, 0)):
                try:
                    act()
                except OSError as error:
                    assert error.errno == 30, error  # EROFS
                else:
                    raise AssertionError("a read-only mount was written to")
        changing = [line for line in server.commands() if re.search(
            r"\b(SELECT|STORE|APPEND|COPY|MOVE|EXPUNGE|CREATE|DELETE|RENAME|SUBSCRIBE)\b", line.upper())]
        assert changing == [], changing


main()
