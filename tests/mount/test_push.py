# SPDX-License-Identifier: MIT
"""What the server tells by itself shows at once: dir-time is an hour here, so nothing of it can come from asking."""
import json
import os
import signal
import subprocess
import time

from common import (Dovecot, Place, append, compare_folder, expunge, fetch_mailbox, flags_of, folders, listed, main, read,
                    samples, test, uid_of, wait_for)
from proxy import Proxy

WITHIN = 15  # seconds, for a slow machine; push takes half of one


def message(subject):
    return f"Message-ID: <{subject}@push.example>\r\nSubject: {subject}\r\n\r\nBody\r\n".encode()


def store(server, mailbox, uid, flags):
    line = server.client()
    line.select(mailbox)
    line.uid("STORE", str(uid), "+FLAGS", f"({flags})")
    line.logout()


def push_of(mount):
    return json.loads(read(os.path.join(mount, ".mailfs", "status.json")))["push"]


def traffic(mount):
    status = json.loads(read(os.path.join(mount, ".mailfs", "status.json")))
    return {key: status[key] for key in ("bytes_in", "bytes_out", "round_trips")}


def fill(server, name, count=10):
    server.fill(samples.bulk_mail(count, 1000, mailbox=(name,)))


def see_changes(server, folder, mailbox, word):
    """New mail, a flag and an expunge, each seen without opening the directory; then with it."""
    names = listed(folder)
    path = os.path.join(folder, names[3])
    uid = append(server, mailbox, message(word))
    assert wait_for(lambda: os.path.exists(os.path.join(folder, f"{uid}.eml")), WITHIN), f"{mailbox}: new mail"
    assert any(f"_{word}." in name for name in listed(folder)), f"{mailbox}: new mail in ls"
    store(server, mailbox, uid_of(path), "\\Flagged work")
    assert wait_for(lambda: {"\\Flagged", "work"} <= flags_of(path), WITHIN), f"{mailbox}: {flags_of(path)}"
    os.stat(path)
    expunge(server, mailbox, uid_of(path))
    assert wait_for(lambda: not os.path.exists(path), WITHIN), f"{mailbox}: expunged mail"
    assert names[3] not in listed(folder), f"{mailbox}: expunged mail in ls"
    compare_folder(folder, fetch_mailbox(server, mailbox))


for _connections in (1, 4):
    @test(f"NOTIFY, {_connections} connections: INBOX and the folder that is open show what changes, on one line")
    def _(connections=_connections):
        with Dovecot() as server, Place() as place:
            fill(server, "INBOX")
            fill(server, "work")
            server.start()
            with place.mount(server, "dir-time=3600", f"connections={connections}") as mount:
                listed(os.path.join(mount, "INBOX"))
                listed(os.path.join(mount, "work"))
                assert wait_for(lambda: push_of(mount).startswith("NOTIFY"), WITHIN), push_of(mount)
                see_changes(server, os.path.join(mount, "INBOX"), "INBOX", "first")
                see_changes(server, os.path.join(mount, "work"), "work", "second")
                see_changes(server, os.path.join(mount, "INBOX"), "INBOX", "third")
                assert push_of(mount).startswith("NOTIFY")


@test("IDLE, 4 connections: INBOX and the folder that is open show what changes, on a line each")
def _():
    with Dovecot(without=("NOTIFY",)) as server, Place() as place:
        fill(server, "INBOX")
        fill(server, "work")
        server.start()
        with place.mount(server, "dir-time=3600", "connections=4") as mount:
            listed(os.path.join(mount, "INBOX"))
            listed(os.path.join(mount, "work"))
            assert wait_for(lambda: push_of(mount).startswith("IDLE on 2 "), WITHIN), push_of(mount)
            see_changes(server, os.path.join(mount, "INBOX"), "INBOX", "first")
            see_changes(server, os.path.join(mount, "work"), "work", "second")


@test("IDLE, one connection: the line goes back to INBOX by itself")
def _():
    with Dovecot(without=("NOTIFY",)) as server, Place() as place:
        fill(server, "INBOX")
        fill(server, "work")
        server.start()
        with place.mount(server, "dir-time=3600", "connections=1") as mount:
            listed(os.path.join(mount, "INBOX"))
            listed(os.path.join(mount, "work"))
            see_changes(server, os.path.join(mount, "INBOX"), "INBOX", "first")


@test("IDLE, one connection: what changes in another folder that is in use comes each dir-time, with nobody asking")
def _():
    with Dovecot(without=("NOTIFY",)) as server, Place() as place:
        fill(server, "INBOX")
        fill(server, "work")
        server.start()
        with place.mount(server, "dir-time=1", "connections=1") as mount:
            listed(os.path.join(mount, "INBOX"))
            work = os.path.join(mount, "work")
            path = os.path.join(work, listed(work)[2])
            uid = uid_of(path)
            time.sleep(2)  # until the line has gone back
            store(server, "work", uid, "\\Answered")
            assert wait_for(lambda: "\\Answered" in flags_of(path), WITHIN), flags_of(path)


@test("a mount that is pushed and not used sends and receives nothing")
def _():
    for without in ((), ("NOTIFY",)):
        with Dovecot(without=without) as server, Place() as place:
            fill(server, "INBOX")
            server.start()
            with place.mount(server, "dir-time=1") as mount:
                folder = os.path.join(mount, "INBOX")
                listed(folder)
                assert wait_for(lambda: not push_of(mount).startswith("polling"), WITHIN), push_of(mount)

                def rests():
                    before = traffic(mount)
                    time.sleep(3)
                    return traffic(mount) == before
                assert wait_for(rests, 20), traffic(mount)


@test("mailboxes that others make, rename and delete show without asking")
def _():
    with Dovecot() as server, Place() as place:
        fill(server, "INBOX")
        fill(server, "work")
        server.start()
        with place.mount(server, "dir-time=3600") as mount:
            listed(os.path.join(mount, "INBOX"))
            assert wait_for(lambda: push_of(mount).startswith("NOTIFY"), WITHIN), push_of(mount)
            line = server.client()
            line.create("Fresh")
            assert wait_for(lambda: "Fresh" in folders(mount), WITHIN), folders(mount)
            line.rename("work", "play")
            line.create("Other")  # Dovecot 2.3 tells of a rename when something comes after it
            line.logout()
            assert wait_for(lambda: "play" in folders(mount) and "work" not in folders(mount), WITHIN), folders(mount)
            assert len(listed(os.path.join(mount, "play"))) == 10


for _kind, _without in (("NOTIFY", ()), ("IDLE", ("NOTIFY",))):
    @test(f"{_kind}: what was missed while the line was cut comes when it is back, with nobody asking")
    def _(without=_without):
        with Dovecot(without=without) as server, Place() as place:
            fill(server, "INBOX")
            fill(server, "work")
            server.start()
            with Proxy(server.port) as proxy:
                url = f"imap://{server.user}@localhost:{proxy.port}/"
                with place.mount(server, "dir-time=3600", url=url) as mount:
                    paths = {}
                    for name in ("INBOX", "work"):
                        paths[name] = os.path.join(mount, name, listed(os.path.join(mount, name))[1])
                    uids = {name: uid_of(path) for name, path in paths.items()}
                    assert wait_for(lambda: push_of(mount).startswith(("NOTIFY", "IDLE on 2")), WITHIN), push_of(mount)
                    proxy.refuse()
                    assert wait_for(lambda: push_of(mount).startswith("none"), WITHIN), push_of(mount)
                    for name, uid in uids.items():
                        store(server, name, uid, "\\Answered")
                    proxy.accept()
                    for name, path in paths.items():
                        assert wait_for(lambda: "\\Answered" in flags_of(path), 3 * WITHIN), (name, flags_of(path))


def is_stopped(pid):
    try:
        return all(read(f"/proc/{pid}/task/{thread}/stat").rpartition(b")")[2].split()[0] == b"T"
                   for thread in os.listdir(f"/proc/{pid}/task"))
    except OSError:  # one that ended
        return False


def stop(pid):
    """SIGSTOP; a thread that was given no CPU since would still answer."""
    os.kill(pid, signal.SIGSTOP)
    if not wait_for(lambda: is_stopped(pid), WITHIN):
        os.kill(pid, signal.SIGCONT)
        raise AssertionError("it does not stop")


def kernel_knows(mount, name):
    """Is a file of INBOX, looked at long before, known to the kernel while mailfs can answer nothing?"""
    folder = os.open(os.path.join(mount, "INBOX"), os.O_RDONLY)
    pid = json.loads(read(os.path.join(mount, ".mailfs", "status.json")))["pid"]
    os.stat(name, dir_fd=folder)
    time.sleep(2.5)
    stop(pid)
    looker = subprocess.Popen(["test", "-s", f"/proc/self/fd/{folder}/{name}"], pass_fds=[folder])
    try:
        return looker.wait(timeout=3) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        os.kill(pid, signal.SIGCONT)
        looker.wait(timeout=20)
        os.close(folder)


for _kind, _without, _known in (("NOTIFY", (), True), ("IDLE", ("NOTIFY",), True), ("neither", ("NOTIFY", "IDLE"), False)):
    @test(f"{_kind}: after dir-time the kernel {'still knows' if _known else 'asks again for'} what it was told")
    def _(without=_without, known=_known):
        with Dovecot(without=without) as server, Place() as place:
            fill(server, "INBOX")
            server.start()
            with place.mount(server, "dir-time=1") as mount:
                names = listed(os.path.join(mount, "INBOX"))
                assert wait_for(lambda: push_of(mount).startswith("polling") is not known, WITHIN), push_of(mount)
                time.sleep(6)  # a line that has just come to it might leave again
                assert kernel_knows(mount, names[2]) is known


main()
