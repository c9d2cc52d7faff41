# SPDX-License-Identifier: MIT
""".search: what the server finds, as links."""
import errno
import os
import re
import subprocess
import time

from common import (Dovecot, Place, append, fetch_mailbox, folders, main, quoted, read, samples, test, uid_of, wait_for)
from liar import Liar
from proxy import Line

WITHIN = 6  # seconds, at dir-time=1
PROJECTS = os.path.join("INBOX", "Projects")


def message(subject, body="Body", sender="alice@example.org"):
    return (f"Message-ID: <{abs(hash((subject, body)))}@search.example>\r\nFrom: {sender}\r\nSubject: {subject}\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n").encode()


def ask(server, box, *criteria):
    """The UIDs that the server finds for another client."""
    line = server.client()
    try:
        assert line.select(quoted(box), readonly=True)[0] == "OK"
        literal, words = None, list(criteria)
        if isinstance(words[-1], bytes):
            literal = words.pop()
        line.literal = literal
        kind, answer = line.uid("SEARCH", *(["CHARSET", "UTF-8"] if literal else []), *words)
        assert kind == "OK", answer
        return [int(word) for word in answer[0].split()]
    finally:
        line.logout()


def found(mount, folder, query):
    """The UIDs in a query's directory, in its order; each must be a link to its message."""
    path = os.path.join(mount, ".search", folder, query)
    uids = []
    with os.scandir(path) as entries:
        for entry in entries:
            assert entry.is_symlink(), entry.name
            target = os.readlink(entry.path)
            assert os.path.basename(target) == entry.name and target.startswith("../"), target
            assert os.lstat(entry.path).st_size == len(os.fsencode(target))
            assert os.path.samefile(entry.path, os.path.join(mount, folder, entry.name))
            uids.append(uid_of(entry.path))
    return uids


def refused(path, *numbers):
    """What opening a query's directory fails with."""
    try:
        os.listdir(path)
    except OSError as error:
        assert not numbers or error.errno in numbers, error
        return error.errno
    raise AssertionError(f"{path} was listed")


PAIRS = [
    ("from:alice", ("FROM", "alice")),
    ("to:bob cc:carla", ("TO", "bob", "CC", "carla")),
    ("subject:Invoice", ("SUBJECT", "Invoice")),
    ('subject:"a better idea"', ("SUBJECT", '"a better idea"')),
    ("SUBJECT:re IS:Unread", ("SUBJECT", "re", "UNSEEN")),
    ("the", ("TEXT", "the")),
    ("the and", ("TEXT", "the", "TEXT", "and")),
    ('"of the"', ("TEXT", '"of the"')),
    ("body:http", ("BODY", "http")),
    ("since:2026-01-10 before:2026-01-20", ("SINCE", "10-Jan-2026", "BEFORE", "20-Jan-2026")),
    ("on:2026-01-15", ("ON", "15-Jan-2026")),
    ("larger:4k", ("LARGER", "4096")),
    ("smaller:2000 larger:1", ("SMALLER", "2000", "LARGER", "1")),
    ("is:unread", ("UNSEEN",)),
    ("is:seen not:is:answered", ("SEEN", "UNANSWERED")),
    ("is:flagged", ("FLAGGED",)),
    ("is:answered", ("ANSWERED",)),
    ("is:draft", ("DRAFT",)),
    ("keyword:work", ("KEYWORD", "work")),
    ("not:keyword:work is:flagged", ("UNKEYWORD", "work", "FLAGGED")),
    ("not:from:alice not:subject:Re", ("NOT", "FROM", "alice", "NOT", "SUBJECT", "Re")),
    ("not:not:the", ("TEXT", "the")),
    ("会議", ("TEXT", "会議".encode())),
    ("subject:お知らせ", ("SUBJECT", "お知らせ".encode())),
    ("subject:réunion", ("SUBJECT", "réunion".encode())),
    ("no-such-word-anywhere", ("TEXT", "no-such-word-anywhere")),
]


def add_pairs(kind, without):
    @test(f"{kind}: every kind of query finds what the server finds for another client")
    def _():
        with Dovecot(without=without) as server, Place() as place:
            server.fill(samples.sample_mail())
            server.start()
            with place.mount(server) as mount:
                hits = {}
                for folder in ("INBOX", "INBOX/Projects", "Lists/linux-mail"):
                    for query, criteria in PAIRS:
                        want = ask(server, folder, *criteria)
                        assert found(mount, folder, query) == want, (folder, query, criteria, want)
                        hits[query] = hits.get(query, 0) + len(want)
                none = [query for query, count in hits.items() if count == 0]
                assert set(none) <= {"no-such-word-anywhere", "is:draft", "to:bob cc:carla", "body:http", "on:2026-01-15"}, none


for _kind, _without in (("ESEARCH", ()), ("plain SEARCH, no LITERAL+", ("ESEARCH", "LITERAL+", "QRESYNC", "CONDSTORE", "ENABLE"))):
    add_pairs(_kind, _without)


@test("grep and cat work through the links, and nothing is listed that has to be asked for by name")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            top = os.path.join(mount, ".search")
            assert ".search" not in os.listdir(mount)
            assert folders(top) == folders(mount)
            query = os.path.join(top, "INBOX", "is:flagged")
            done = subprocess.run(f"cat '{query}'/*", shell=True, capture_output=True, check=True)
            assert done.stdout == b"".join(read(os.path.join(query, name)) for name in sorted(os.listdir(query)))
            assert os.listdir(os.path.join(top, "INBOX")) == folders(os.path.join(mount, "INBOX"))
            for name in (".git", ".hidden", "Projects/.x"):
                assert not os.path.lexists(os.path.join(top, "INBOX", name)), name
            assert not os.path.lexists(os.path.join(top, "a query for no mailbox"))
            assert not os.path.lexists(os.path.join(top, "Archive", "takes no messages"))
            other = next(name for name in os.listdir(os.path.join(mount, "INBOX"))
                         if name.endswith(".eml") and name not in os.listdir(query))
            one = os.listdir(query)[0]
            assert not os.path.lexists(os.path.join(query, other))
            assert not os.path.lexists(os.path.join(query, f"{uid_of(os.path.join(query, one))}.eml"))
            assert os.path.samefile(os.path.join(top, "INBOX", f"is:flagged not:{'x' * 30}", one), os.path.join(mount, "INBOX", one))


@test("a name is only text to the server, whatever is in it")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.bulk_mail(5, 1000))
        server.start()
        odd = ["\\", "\\\\", "{5}", "{5+}", "NIL", "*", "%", "a b", "(ALL)", "OR", "ALL", "~x", "+x", "]", "😀", "\u202e", "a" * 200]
        for number, text in enumerate(odd):
            append(server, "Bulk", message(f"odd {number}", f"<<{text}>>"))
        with place.mount(server) as mount:
            for number, text in enumerate(odd):
                assert found(mount, "Bulk", f'body:"<<{text}>>"') == [6 + number], text
                os.listdir(os.path.join(mount, ".search", "Bulk", f'"{text}"'))
        said = [line for line in server.commands() if re.match(r"\S+ (UID )?(LOGOUT|STORE|CLOSE|DELETE|EXPUNGE)", line)]
        assert all("LOGOUT" in line for line in said), said


@test("a bad query is EINVAL, and asks the server nothing")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.bulk_mail(5, 1000))
        server.start()
        with place.mount(server) as mount:
            folder = os.path.join(mount, ".search", "Bulk")
            for query in ("form:bob", "from:", 'from:""', 'subject:"open', '"a"b', "is:there", "since:yesterday", "since:2026-02-30",
                          "since:2026-1-1", "on:0000-01-01", "larger:", "larger:big", "larger:5000M", "keyword:a(b", "keyword:\\Seen",
                          "keyword:日本", "a|b", "(a)", "not:", " ", "a\nb", "a\rb", "a\tb", "x\x7f", "\udcff\udcfe", 'subject:a"b"'):
                assert refused(os.path.join(folder, query)) == errno.EINVAL, query
                try:
                    os.stat(os.path.join(folder, query))
                except OSError as error:
                    assert error.errno == errno.EINVAL, (query, error)
            assert found(mount, "Bulk", '"form:bob"') == []
        asked = [line for line in server.commands() if "SEARCH" in line.upper()]
        assert len(asked) == 1, asked


@test("an answer is kept for dir-time, then new mail is found")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.bulk_mail(5, 1000))
        server.start()
        with place.mount(server, "dir-time=2") as mount:
            query = os.path.join(mount, ".search", "Bulk", "subject:fresh")
            for _ in range(20):
                assert os.listdir(query) == []
            append(server, "Bulk", message("fresh one"))
            assert wait_for(lambda: len(os.listdir(query)) == 1, WITHIN)
            append(server, "Bulk", message("fresh two"))
            assert wait_for(lambda: len(os.listdir(query)) == 2, WITHIN)
            assert found(mount, "Bulk", "subject:fresh") == [6, 7]
        asked = [line for line in server.commands() if "SEARCH" in line.upper()]
        assert 3 <= len(asked) <= 8, asked


@test("more queries than are kept: the oldest are forgotten, and asked again")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(20, 1000))
        server.start()
        with place.mount(server) as mount:
            folder = os.path.join(mount, ".search", "Bulk")
            want = found(mount, "Bulk", "bulk")
            assert len(want) == 20
            with os.scandir(os.path.join(folder, "bulk")) as entries:
                kept = next(entries)
                for number in range(300):
                    os.listdir(os.path.join(folder, f"subject:Message-{number}"))
            assert os.path.exists(kept.path)
            assert found(mount, "Bulk", "bulk") == want
            for number in range(20):
                assert len(os.listdir(os.path.join(folder, f'subject:"bulk" larger:{number}'))) == 20, number


@test("offline, a query fails at once and says so; what was found before can be read while it is fresh")
def _():
    with Line(samples.bulk_mail(20, 1000), "timeout=3") as line, line.mount() as mount:
        folder = os.path.join(mount, ".search", "Bulk")
        assert len(found(mount, "Bulk", "bulk")) == 20
        line.proxy.refuse()
        time.sleep(0.5)
        started = time.monotonic()
        refused(os.path.join(folder, "other words"), errno.EHOSTUNREACH, errno.ETIMEDOUT)
        assert time.monotonic() - started < 8
        assert wait_for(lambda: refused(os.path.join(folder, "more words")) == errno.EHOSTUNREACH, WITHIN)
        started = time.monotonic()
        refused(os.path.join(folder, "yet other words"), errno.EHOSTUNREACH)
        assert time.monotonic() - started < 1
        assert len(os.listdir(os.path.join(folder, "bulk"))) == 20
        line.proxy.accept()
        assert wait_for(lambda: try_list(os.path.join(folder, "other bulk")) >= 0, 30)


def try_list(path):
    try:
        return len(os.listdir(path))
    except OSError:
        return -1


@test("a stalled server: a query waits no longer than the timeout, and Ctrl-C ends it at once")
def _():
    with Line(samples.bulk_mail(20, 1000), "timeout=3") as line, line.mount() as mount:
        folder = os.path.join(mount, ".search", "Bulk")
        assert len(os.listdir(os.path.join(mount, "Bulk"))) == 20
        line.proxy.stall()
        reader = subprocess.Popen(["ls", os.path.join(folder, "one")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        started = time.monotonic()
        reader.terminate()
        assert reader.wait(5) != 0
        assert time.monotonic() - started < 1
        started = time.monotonic()
        refused(os.path.join(folder, "two"), errno.ETIMEDOUT, errno.EHOSTUNREACH)
        assert time.monotonic() - started < 8
        line.proxy.go_on()


@test("a server that cannot search: EOPNOTSUPP")
def _():
    with Liar({"INBOX": {1: message("one")}}) as liar, Place() as place, place.mount(liar, tls=False) as mount:
        assert refused(os.path.join(mount, ".search", "INBOX", "one")) == errno.EOPNOTSUPP
        assert len(fetch_names(mount)) == 1


def fetch_names(mount):
    return os.listdir(os.path.join(mount, "INBOX"))


main()
