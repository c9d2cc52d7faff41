# SPDX-License-Identifier: MIT
"""mv, cp and rm inside the mount act on the server, and no byte of a message travels."""
import errno
import os
import re
import subprocess
import time

from faults import Filter
from common import Place, fails, fetch_mailbox, filled, list_mailboxes, listed, main, read, run, test, uid_of, wait_for


def metric(mount, name):
    return int(re.search(rf"^mailfs_{name} (\d+)$", read(os.path.join(mount, ".mailfs", "metrics")).decode(), re.M).group(1))


def contents(server, mailbox):
    return sorted((m.data, m.date, tuple(sorted(m.flags))) for m in fetch_mailbox(server, mailbox).values())


@test("a moved message is there under its name at once, and after a remount with an empty cache")
def _():
    with filled(3) as server, Place() as place:
        before = contents(server, "Bulk")
        with place.mount(server) as mount:
            name = listed(os.path.join(mount, "Bulk"))[1]
            source, target = os.path.join(mount, "Bulk", name), os.path.join(mount, "Target", name)
            run("mv", source, target)
            assert os.path.exists(target) and not os.path.exists(source)
            body = read(target)
            assert listed(os.path.join(mount, "Target")) == [name] and len(listed(os.path.join(mount, "Bulk"))) == 2
            assert uid_of(target) > 0 and os.stat(target).st_size == len(body)
            assert sorted(contents(server, "Bulk") + contents(server, "Target")) == before
        place.forget()
        with place.mount(server) as mount:
            assert listed(os.path.join(mount, "Target")) == [name]


@test("a thousand messages move with their bytes, dates and flags")
def _():
    with filled(1000) as server, Place() as place, place.mount(server) as mount:
        before = contents(server, "Bulk")
        run("bash", "-c", f"mv '{mount}'/Bulk/*.eml '{mount}/Target/' && sync '{mount}/Bulk'")
        assert contents(server, "Target") == before and fetch_mailbox(server, "Bulk") == {}
        assert len(listed(os.path.join(mount, "Target"))) == 1000 and listed(os.path.join(mount, "Bulk")) == []


@test("cp inside the mount copies on the server: no body travels")
def _():
    with filled(4, size=200000) as server, Place() as place, place.mount(server) as mount:
        names = listed(os.path.join(mount, "Bulk"))
        listed(os.path.join(mount, "Target"))
        before = metric(mount, "received_bytes_total") + metric(mount, "sent_bytes_total")
        for name in names:
            run("cp", os.path.join(mount, "Bulk", name), os.path.join(mount, "Target", name))
        run("sync", os.path.join(mount, "Target"))
        after = metric(mount, "received_bytes_total") + metric(mount, "sent_bytes_total")
        assert [m[0] for m in contents(server, "Target")] == [m[0] for m in contents(server, "Bulk")]
        assert sorted(listed(os.path.join(mount, "Target"))) == sorted(names)
        assert after - before < 50000, after - before
        for name in names:
            assert read(os.path.join(mount, "Target", name)) == read(os.path.join(mount, "Bulk", name))


@test("cp of a part, and of a message out of the mount, reads")
def _():
    with filled(3) as server, Place() as place, place.mount(server) as mount:
        for name in listed(os.path.join(mount, "Bulk")):
            source = os.path.join(mount, "Bulk", name)
            run("cp", source, place.path("out"))
            assert read(place.path("out")) == read(source)
            run("bash", "-c", f"cat '{source}' > '{mount}/Target/{name}'")
        run("sync", os.path.join(mount, "Target"))
        assert [m[0] for m in contents(server, "Target")] == [m[0] for m in contents(server, "Bulk")]


@test("renames: another name, onto another message, NOREPLACE, EXCHANGE")
def _():
    with filled(3) as server, Place() as place:
        with place.mount(server, "delete=expunge") as mount:
            bulk = os.path.join(mount, "Bulk")
            one, two, three = (os.path.join(bulk, name) for name in listed(bulk))
            body = read(one)
            run("mv", "-n", one, os.path.join(bulk, "new.eml"))
            assert read(os.path.join(bulk, "new.eml")) == body and not os.path.exists(one)
            run("mv", "-n", two, three)
            assert os.path.exists(two) and len(fetch_mailbox(server, "Bulk")) == 3
            run("mv", "-f", os.path.join(bulk, "new.eml"), two)
            assert wait_for(lambda: len(fetch_mailbox(server, "Bulk")) == 2) and read(two) == body
            fails(errno.EPERM, lambda: os.rename(two, os.path.join(bulk, "x.eml~")))
            fails(errno.EXDEV, lambda: os.rename(two, os.path.join(mount, ".text", "x.eml")))
            run("mv", two, os.path.join(mount, "Target", "other.eml"))
            run("mv", three, os.path.join(mount, "Target", "other.eml"))
            assert wait_for(lambda: len(fetch_mailbox(server, "Target")) == 1)
            assert listed(os.path.join(mount, "Target")) == ["other.eml"] and listed(bulk) == []


@test("rm moves to Trash, and deletes there; rm -r takes a folder away")
def _():
    with filled(20, "Target", "Trash", "Bulk/Below") as server, Place() as place, place.mount(server) as mount:
        before = contents(server, "Bulk")
        name = listed(os.path.join(mount, "Bulk"))[0]
        run("rm", os.path.join(mount, "Bulk", name))
        assert listed(os.path.join(mount, "Trash")) == [name] and len(fetch_mailbox(server, "Trash")) == 1
        run("rm", os.path.join(mount, "Trash", name))
        assert fetch_mailbox(server, "Trash") == {} and listed(os.path.join(mount, "Trash")) == []
        run("rm", "-r", os.path.join(mount, "Bulk"))
        assert wait_for(lambda: "Bulk" not in list_mailboxes(server))
        assert "Bulk/Below" not in list_mailboxes(server)
        assert len(contents(server, "Trash")) == len(before) - 1


@test("a foreign \\Deleted message stays, whatever is moved and deleted beside it")
def _():
    for without in ((), ("UIDPLUS",), ("MOVE",), ("UIDPLUS", "MOVE")):
        with filled(10, without=without) as server, Place() as place, place.mount(server, "delete=expunge") as mount:
            line = server.client()
            line.select("Bulk")
            line.uid("STORE", "5", "+FLAGS", "(\\Deleted)")
            line.logout()
            foreign = fetch_mailbox(server, "Bulk", "5")[5].data
            bulk = os.path.join(mount, "Bulk")
            names = [name for name in listed(bulk) if uid_of(os.path.join(bulk, name)) != 5]
            for name in names[:3]:
                os.unlink(os.path.join(bulk, name))
            for name in names[3:6]:
                os.rename(os.path.join(bulk, name), os.path.join(mount, "Target", name))
            run("sync", bulk)
            assert sorted(listed(os.path.join(mount, "Target"))) == sorted(names[3:6])
            assert not set(names[:6]) & set(listed(bulk)), without
            assert foreign in [m.data for m in fetch_mailbox(server, "Bulk").values()], without


class Far(Filter):
    """Each answer takes its time."""

    def _to_client(self, client, is_line, piece):
        if is_line and not piece.startswith(b"*"):
            time.sleep(0.01)
        return super()._to_client(client, is_line, piece)


@test("what was just moved can be flagged, and written to in Drafts, before a server without UIDPLUS has said where it is")
def _():
    with filled(60) as server, Place() as place, Far(server.port, ("UIDPLUS",)) as proxy, place.mount(
            server, url=server.url().replace(str(server.port), str(proxy.port)), tls=False) as mount:
        bulk, drafts = os.path.join(mount, "Bulk"), os.path.join(mount, "Drafts")
        os.mkdir(drafts)
        names = listed(bulk)
        for number in range(0, len(names), 6):
            for name in names[number:number + 6]:
                os.rename(os.path.join(bulk, name), os.path.join(drafts, name))
            for name in names[number:number + 5]:
                os.setxattr(os.path.join(drafts, name), "user.mailfs.flags", b"\\Flagged")
            with open(os.path.join(drafts, names[number + 5]), "wb") as draft:
                draft.write(b"From: a@example.org\r\nSubject: new\r\n\r\nnew\r\n")
        run("sync", drafts)
        held = fetch_mailbox(server, "Drafts").values()
        assert len([message for message in held if "\\Flagged" in message.flags]) == 50, held
        assert len([message for message in held if b"Subject: new" in message.data]) == 10, held
        assert fetch_mailbox(server, "Bulk") == {}


@test("the guard stops a runaway rm, and allow-delete lifts it")
def _():
    with filled(40) as server, Place() as place, place.mount(server, "delete-limit=15") as mount:
        bulk = os.path.join(mount, "Bulk")
        done = subprocess.run(f"rm -f '{bulk}'/*.eml", shell=True, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "Operation not permitted" in done.stderr, done
        run("sync", bulk)
        assert len(fetch_mailbox(server, "Bulk")) == 25
        log = read(os.path.join(mount, ".mailfs", "log")).decode()
        assert "allow-delete" in log, log
        done = place.mailfs("allow-delete", mount)
        assert done.returncode == 0, done
        run("bash", "-c", f"rm -f '{bulk}'/*.eml && sync '{bulk}'")
        assert fetch_mailbox(server, "Bulk") == {}


main()
