#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POP3 accounts: what stays here when the server is away, or has it no more."""
import contextlib
import errno
import os
import sqlite3
import time

from common import Place, fails, listed, main, read, run, test, wait_for
from pop import cat, file_of, filled, letter, log_of, look_again, on_server, phone_in, pop, shown


@test("what was fetched is listed and read while the server is away, also by a new mount")
def offline():
    with filled(10) as server, Place() as place:
        with pop(place, server) as mount:
            inbox = mount + "/INBOX"
            for number in range(5):
                cat(file_of(inbox, number))
            server.stop()
            look_at_what_is_left(inbox)
            fails(errno.EHOSTUNREACH, lambda: os.unlink(file_of(inbox, 1)))
        with pop(place, server) as mount:
            assert "offline" in place.said
            look_at_what_is_left(mount + "/INBOX")
            server.start()
            assert wait_for(lambda: cat(file_of(mount + "/INBOX", 7)) == letter(7).data, 20)


def look_at_what_is_left(inbox):
    assert len(listed(inbox)) == 10
    for number in range(5):
        assert read(file_of(inbox, number)) == letter(number).data
    assert wait_for(lambda: cat(file_of(inbox, 8)) is None)
    fails(errno.EHOSTUNREACH, lambda: read(file_of(inbox, 8)))


@test("keep=yes: what was read stays when the server has it no more, through remounts and the loss of the cache")
def keep():
    with filled(6) as server, Place() as place:
        with pop(place, server, "keep=yes") as mount:
            inbox = mount + "/INBOX"
            for number in (1, 2, 3):
                cat(file_of(inbox, number))
            phone = phone_in(server)
            for number in (1, 2, 5):
                phone.dele(number)
            phone.quit()
            # Letter 0 and Letter 4 were never read.
            look_again(place, mount, lambda: shown(inbox) == [f"Letter {n}" for n in (1, 2, 3, 5)])
            names = listed(inbox)
            assert "archive     3 messages kept" in read(mount + "/.mailfs/status").decode()
        for how in ("remounted", "without a cache", "remounted again"):
            with pop(place, server, "keep=yes", "cache-size=4k") as mount:
                inbox = mount + "/INBOX"
                assert sorted(listed(inbox)) == sorted(names), (how, listed(inbox), names)
                for number in (1, 2, 3, 5):
                    assert cat(file_of(inbox, number)) == letter(number).data
                    assert os.stat(file_of(inbox, number)).st_mtime == letter(number).date
            if how == "remounted":
                place.forget()
        with pop(place, server, "keep=yes") as mount:
            inbox = mount + "/INBOX"
            os.unlink(file_of(inbox, 1))
            os.unlink(file_of(inbox, 2))
            run("sync", inbox)
            assert shown(inbox) == ["Letter 3", "Letter 5"]
        with pop(place, server, "keep=yes") as mount:
            assert shown(mount + "/INBOX") == ["Letter 3", "Letter 5"]
        assert on_server(server) == ["Letter 3", "Letter 5"]


def age(place, days):
    """The index believes that all bodies came so many days earlier."""
    path = next(os.path.join(folder, "index.db") for folder, _, names in os.walk(place.cache) if "index.db" in names)
    with contextlib.closing(sqlite3.connect(path)) as index:
        index.execute("UPDATE numbers SET fetched = fetched - ?", (days * 86400,))
        index.commit()


@test("pop-keep deletes on the server what has been here for that long, whole, and nothing else")
def pop_keep():
    with filled(6) as server, Place() as place:
        with pop(place, server, "pop-keep=30d") as mount:
            for number in (1, 2, 3):
                cat(file_of(mount + "/INBOX", number))
        age(place, 29)
        with pop(place, server, "pop-keep=30d") as mount:
            assert len(listed(mount + "/INBOX")) == 6
            time.sleep(0.5)
        assert len(on_server(server)) == 6
        # One of them is damaged on disk.
        kept = next(os.path.join(folder, name) for folder, _, names in os.walk(place.path("state"))
                    for name in names if name.startswith("3-"))
        data = bytearray(read(kept))
        data[100] ^= 1
        with open(kept, "r+b") as file:
            file.write(data)
        age(place, 2)
        with pop(place, server, "pop-keep=30d") as mount:
            assert wait_for(lambda: "pop-keep: 2 messages deleted on the server, and kept here" in log_of(mount), 20), log_of(mount)
            assert on_server(server) == [f"Letter {n}" for n in (0, 2, 4, 5)]
            for number in range(6):
                assert read(file_of(mount + "/INBOX", number)) == letter(number).data


if __name__ == "__main__":
    main()
