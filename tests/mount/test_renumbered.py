# SPDX-License-Identifier: MIT
"""The server numbers a mailbox anew (UIDVALIDITY) while changes to it wait for the line: they are given up and told of, and
no other message is touched."""
import os
import shutil
import signal

from common import Place, fetch_mailbox, filled, listed, main, processes, read, samples, test, wait_for
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
