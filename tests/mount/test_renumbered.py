# SPDX-License-Identifier: MIT
"""The server numbers a mailbox anew (UIDVALIDITY) while changes to it wait for the line: they are given up and told of, and
no other message is touched."""
import os
import shutil
import signal
import threading

from common import Place, fetch_mailbox, filled, listed, main, processes, read, samples, test, wait_for
from faults import Filter
from proxy import Proxy


def page(mount, name):
    return read(os.path.join(mount, ".mailfs", name)).decode()


def letter(number):
    return samples.Message(("Bulk",), f"From: a@example.org\r\nSubject: other {number}\r\nMessage-ID: <other-{number}@x>\r\n\r\nother\r\n".encode(),
                           "", (), samples.START + number)


def replace_bulk(server):
    """Another mailbox of that name, with other messages under the same numbers."""
    server.stop()
    old = os.path.join(server.mail, "Bulk")
    shutil.rmtree(old)
    server.fill(letter(number) for number in range(40))
    server.start()


def change_while_stalled(proxy, mount):
    """Five moves and five removals that nobody hears of. Their names."""
    bulk, target = os.path.join(mount, "Bulk"), os.path.join(mount, "Target")
    names = listed(bulk)
    # The first of a run waits for the server; the next ones are answered for.
    os.rename(os.path.join(bulk, names[0]), os.path.join(target, names[0]))
    os.unlink(os.path.join(bulk, names[1]))
    proxy.stall()
    for name in names[10:15]:
        os.rename(os.path.join(bulk, name), os.path.join(target, name))
    for name in names[20:25]:
        os.unlink(os.path.join(bulk, name))
    return names[10:15] + names[20:25]


def check(server, mount, names):
    held = fetch_mailbox(server, "Bulk")
    assert sorted(held) == list(range(1, 41)), sorted(held)
    assert all(message.flags == set() and b"Message-ID: <other-" in message.data for message in held.values()), held
    assert len(fetch_mailbox(server, "Target")) == 1 and len(fetch_mailbox(server, "Trash")) == 1
    assert wait_for(lambda: len(listed(os.path.join(mount, "Bulk"))) == 40, 20, 0.2)
    log = page(mount, "log")
    for name in names:
        assert any(name in line and "not" in line for line in log.splitlines()), (name, log)
    assert "renumbered" in log, log
    assert "10 moves or removals that could not be done" in page(mount, "status"), page(mount, "status")


@test("while mounted: moves and removals that were answered for are given up, each with a line, and touch nothing else")
def _():
    with filled(40) as server, Place() as place, Proxy(server.port) as proxy:
        url = server.url().replace(str(server.port), str(proxy.port))
        with place.mount(server, "dir-time=1", url=url, tls=False) as mount:
            names = change_while_stalled(proxy, mount)
            proxy.cut()
            replace_bulk(server)
            proxy.go_on()
            assert wait_for(lambda: "given up    10 " in page(mount, "status"), 30, 0.1), page(mount, "status")
            check(server, mount, names)


def copy_whose_flags_wait(proxy, bulk):
    """A copy that the server has made, of which it has not heard the flags."""
    heard = threading.Event()

    def lose():
        proxy.refuse()
        heard.set()
    proxy.call(r"UID STORE .*Flagged", "before", 1, lose)
    with open(os.path.join(bulk, listed(bulk)[0]), "rb") as source, open(os.path.join(bulk, "copy.eml"), "wb") as copy:
        size = os.fstat(source.fileno()).st_size
        assert os.copy_file_range(source.fileno(), copy.fileno(), size, 0, 0) == size
        os.setxattr(copy.fileno(), "user.mailfs.flags", b"\\Flagged work")
    assert heard.wait(20)


def check_flags(server, mount, said, shown):
    assert wait_for(lambda: said in page(mount, "log"), 30, 0.1), page(mount, "log")
    assert wait_for(lambda: "uploads     0 waiting" in page(mount, "status"), 10, 0.1), page(mount, "status")
    held = fetch_mailbox(server, "Bulk")
    assert len(held) == 40 and all(message.flags == set() for message in held.values()), held
    assert wait_for(lambda: len(listed(os.path.join(mount, "Bulk"))) == shown, 20, 0.2), listed(os.path.join(mount, "Bulk"))


@test("flags that wait for the line, of what is on the server already, are given up with a line and set on nothing else")
def _():
    with filled(3) as server, Place() as place, Filter(server.port) as proxy:
        url = server.url().replace(str(server.port), str(proxy.port))
        with place.mount(server, "dir-time=1", url=url, tls=False) as mount:
            copy_whose_flags_wait(proxy, os.path.join(mount, "Bulk"))
            replace_bulk(server)
            proxy.accept()
            check_flags(server, mount, "uploaded, but its flags are not set: the server has numbered this mailbox anew", 40)


@test("flags that wait, and a kill meanwhile: the file stays with its reason, for nobody knows what became of its message")
def _():
    with filled(3) as server, Place() as place, Filter(server.port) as proxy:
        url = server.url().replace(str(server.port), str(proxy.port))
        with place.mount(server, "dir-time=1", url=url, tls=False, unmount=False) as mount:
            copy_whose_flags_wait(proxy, os.path.join(mount, "Bulk"))
        for pid in processes(mount):
            os.kill(pid, signal.SIGKILL)
        replace_bulk(server)
        proxy.accept()
        with place.mount(server, "dir-time=1", url=url, tls=False) as mount:
            check_flags(server, mount, "Bulk/copy.eml: not uploaded: the server has numbered this mailbox anew", 41)
            status = os.getxattr(os.path.join(mount, "Bulk", "copy.eml"), "user.mailfs.status").decode()
            assert "numbered this mailbox anew" in status, status
            os.unlink(os.path.join(mount, "Bulk", "copy.eml"))


@test("killed meanwhile: the next mount gives them up from the journal")
def _():
    with filled(40) as server, Place() as place, Proxy(server.port) as proxy:
        url = server.url().replace(str(server.port), str(proxy.port))
        with place.mount(server, "dir-time=1", url=url, tls=False, unmount=False) as mount:
            change_while_stalled(proxy, mount)
        for pid in processes(mount):
            os.kill(pid, signal.SIGKILL)
        proxy.cut()
        replace_bulk(server)
        proxy.go_on()
        with place.mount(server, "dir-time=1", url=url, tls=False) as mount:
            assert wait_for(lambda: "given up    10 " in page(mount, "status"), 30, 0.1), page(mount, "status")
            check(server, mount, [])


if __name__ == "__main__":
    main()
