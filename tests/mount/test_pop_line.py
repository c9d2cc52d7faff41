#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POP3 accounts: what a line can do to them: one that is lost, one that another client has, servers that are old or lie."""
import errno
import os
import threading

from common import Place, compare_folder, fails, fetch_mailbox, listed, main, read, rsync, run, test, uid_of, wait_for
from pop import Between, cat, deliver, file_of, filled, letter, log_of, look_again, on_server, phone_is_in, pop, shown


@test("sizes are those of the bytes, whatever LIST says")
def sizes():
    with filled(12) as server, Place() as place:
        for lies in (0.5, 3.7):
            place.forget()
            with Between(server.pop_port, lies=lies) as between, place.mount(server, url=between.url, tls=False) as mount:
                inbox = mount + "/INBOX"
                assert os.stat(file_of(inbox, 3)).st_size == int(len(letter(3).data) * lies)
                assert compare_folder(inbox, fetch_mailbox(server, "INBOX"), exact=False) == 12
                assert len(rsync(inbox, place.path(f"copy{lies}"))) >= 12
                assert rsync(inbox, place.path(f"copy{lies}")) == []


@test("a server without UIDL and TOP shows the same, and what its listing had to fetch is read without it")
def old_server():
    with filled(8) as server, Place() as place, Between(server.pop_port, without=("UIDL", "TOP")) as between:
        with place.mount(server, "dir-time=1", url=between.url, tls=False) as mount:
            inbox = mount + "/INBOX"
            names = listed(inbox)
            assert len(names) == 8
            os.unlink(file_of(inbox, 3))
            run("sync", inbox)
            deliver(server, 50)
            look_again(place, mount, lambda: shown(inbox) == on_server(server) and len(on_server(server)) == 8)
            numbers = {name: uid_of(f"{inbox}/{name}") for name in listed(inbox)}
        with place.mount(server, "dir-time=1", url=between.url, tls=False) as mount:
            inbox = mount + "/INBOX"
            assert {name: uid_of(f"{inbox}/{name}") for name in listed(inbox)} == numbers
            before = between.heard.count("RETR")
            assert cat(file_of(inbox, 5)) == letter(5).data
            assert between.heard.count("RETR") == before


@test("a line that is lost between DELE and QUIT leaves the message, which is back, and the log says so")
def lost_before_quit():
    with filled(3) as server, Between(server.pop_port) as between, Place() as place:
        with place.mount(server, "dir-time=1", url=between.url, tls=False) as mount:
            inbox = mount + "/INBOX"
            assert len(listed(inbox)) == 3
            between.word = b"QUIT"
            os.unlink(file_of(inbox, 1))
            assert wait_for(lambda: "is back" in log_of(mount), 20), log_of(mount)
            assert "DELE" in between.heard
            between.word = None
            assert shown(inbox) == ["Letter 0", "Letter 1", "Letter 2"] == on_server(server)
            assert read(file_of(inbox, 1)) == letter(1).data
            run("sync", inbox, code=1)
            os.unlink(file_of(inbox, 1))
            run("sync", inbox)
            assert shown(inbox) == ["Letter 0", "Letter 2"] == on_server(server)


@test("the phone gets in within seconds, and while it is in mailfs waits")
def phone():
    with filled(20, pop_lock=True) as server, Place() as place, pop(place, server, "timeout=20") as mount:
        inbox = mount + "/INBOX"
        cached, late = file_of(inbox, 0), file_of(inbox, 5)
        cat(cached)
        line = wait_for(lambda: phone_is_in(server), 8, 0.2)
        assert line, "the phone does not get in"
        threading.Timer(1, line.quit).start()
        assert cat(cached) == letter(0).data
        assert cat(late) == letter(5).data


@test("a maildrop that another client has is tried again until the timeout has passed, then it is EBUSY")
def in_use():
    with filled(20) as server, Between(server.pop_port) as between, Place() as place:
        between.busy = True
        threading.Timer(0.3, setattr, (between, "busy", False)).start()
        with place.mount(server, "timeout=1", url=between.url, tls=False) as mount:
            path = file_of(mount + "/INBOX", 15)
            wait_for(lambda: between.heard[-1:] == ["QUIT"])
            between.busy = True
            fails(errno.EBUSY, lambda: read(path))
            assert "another client" in log_of(mount), log_of(mount)
            between.busy = False
            assert wait_for(lambda: cat(path) == letter(15).data, 20)
        between.busy = True
        with place.mount(server, "timeout=1", url=between.url, tls=False) as mount:
            assert "offline" in place.said and "another client" in place.said, place.said
            assert len(listed(mount + "/INBOX")) == 20


if __name__ == "__main__":
    main()
