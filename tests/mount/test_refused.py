# SPDX-License-Identifier: MIT
"""What may not be: EPERM where nobody may, EACCES where the server refuses this account, EROFS under -o ro, which sends no
command that changes anything."""
import errno
import os
import re
import subprocess

from common import MAILFS, Place, expunge, filled, list_mailboxes, listed, main, run, test, uid_of, wait_for

CHANGING = (r"\S+ ((UID )?(STORE|COPY|MOVE|EXPUNGE)|APPEND|CREATE|DELETE|RENAME|SUBSCRIBE|UNSUBSCRIBE|SELECT|CLOSE)\b")


def errno_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "0"


def compare(table):
    """[(what it is, what is expected, call, argument…)]"""
    found = [(what, errno_of(call, *arguments)) for what, _, call, *arguments in table]
    assert found == [(what, expected) for what, expected, *_ in table], [
        (pair, entry[1]) for pair, entry in zip(found, table) if pair[1] != entry[1]]


@test("what nobody may is EPERM")
def _():
    with filled(6, "Target", "Trash", "Sent", "Drafts", "Junk") as server, Place() as place, \
            place.mount(server, "delete-limit=2") as mount:
        inbox, bulk = os.path.join(mount, "INBOX"), os.path.join(mount, "Bulk")
        path, *others = [os.path.join(bulk, name) for name in listed(bulk)]
        compare([
            *((f"rmdir {name}", "EPERM", os.rmdir, os.path.join(mount, name)) for name in ("INBOX", "Sent", "Drafts", "Trash", "Junk")),
            ("mv INBOX", "EPERM", os.rename, inbox, os.path.join(mount, "Other")),
            *((f"mkdir {name}", "EPERM", os.mkdir, os.path.join(mount, name)) for name in (".Trash-1000", "Thumbs.db", "Bulk/.git")),
            ("mv Target .hidden", "EPERM", os.rename, os.path.join(mount, "Target"), os.path.join(mount, ".hidden")),
            ("write into a message", "EPERM", open, path, "r+b"),
            ("write a message anew", "EPERM", open, path, "wb"),
            ("write behind a message", "EPERM", open, path, "ab"),
            ("truncate", "EPERM", os.truncate, path, 3),
            ("ln", "EPERM", os.link, path, os.path.join(bulk, "two.eml")),
            ("chmod", "EPERM", os.chmod, path, 0o644),
            ("chown", "EPERM", os.chown, path, 4711, -1),
            ("setfattr of what is the server's", "EPERM", os.setxattr, path, "user.mailfs.uid", b"1"),
            ("mv to a name of no message", "EPERM", os.rename, path, os.path.join(bulk, "x.eml~")),
            ("rm", "0", os.unlink, others[0]),
            ("rm", "0", os.unlink, others[1]),
            ("rm, more than the guard lets pass", "EPERM", os.unlink, others[2]),
            ("mv over another, more than the guard lets pass", "EPERM", os.rename, others[3], path),
        ])
        assert {"INBOX", "Sent", "Drafts", "Trash", "Junk", "Target"} <= set(list_mailboxes(server))
        assert set(listed(bulk)) == {os.path.basename(name) for name in (path, *others[2:])}


@test("truncate of a message that another client has taken away, and that is still open, is ESTALE")
def _():
    with filled(2) as server, Place() as place, place.mount(server, "dir-time=1") as mount:
        bulk = os.path.join(mount, "Bulk")
        path = os.path.join(bulk, listed(bulk)[0])
        uid = uid_of(path)
        with open(path, "rb") as file:
            assert errno_of(os.truncate, path, 3) == "EPERM"
            expunge(server, "Bulk", uid)
            assert wait_for(lambda: len(listed(bulk)) == 1)
            assert errno_of(os.truncate, f"/proc/self/fd/{file.fileno()}", 3) == "ESTALE"
            assert len(file.read()) == os.fstat(file.fileno()).st_size


@test("what the server refuses this account is EACCES")
def _():
    with filled(3, "Target", "Trash", "Empty", plugins=["acl"]) as server, Place() as place:
        rights = server.path("acl")
        with open(rights, "w", encoding="ascii") as file:
            file.write("Bulk owner lrwstipe\nEmpty owner lrwstipe\nTarget owner lrws\n")
        server.settings["config"] = f"plugin {{\n  acl = vfile:{rights}\n}}\n"
        server.write_config()
        server.restart()
        with place.mount(server) as mount:
            path = os.path.join(mount, "Bulk", listed(os.path.join(mount, "Bulk"))[0])
            compare([
                ("mkdir", "EACCES", os.mkdir, os.path.join(mount, "Empty", "New")),
                ("rmdir", "EACCES", os.rmdir, os.path.join(mount, "Empty")),
                ("mv of a mailbox", "EACCES", os.rename, os.path.join(mount, "Empty"), os.path.join(mount, "Full")),
                ("mv of a message", "EACCES", os.rename, path, os.path.join(mount, "Target", "x.eml")),
            ])
            assert os.path.exists(path)


@test("-o ro: every tool is refused with EROFS, and the server hears no command that changes anything")
def _():
    with filled(3, "Target", "Trash", rawlog=True) as server, Place() as place:
        with open(place.path("new.eml"), "wb") as file:
            file.write(b"From: a@example.org\r\nSubject: new\r\n\r\nnew\r\n")
        before = len(server.commands())
        with place.mount(server, "ro", url=server.url(), tls=False) as mount:
            bulk = os.path.join(mount, "Bulk")
            path = os.path.join(bulk, listed(bulk)[0])
            for command in (["cp", place.path("new.eml"), bulk], ["cp", path, os.path.join(mount, "Target")],
                            ["mv", path, os.path.join(mount, "Target")], ["mv", path, os.path.join(bulk, "x.eml")],
                            ["mv", os.path.join(mount, "Target"), os.path.join(mount, "Other")], ["rm", "-f", path],
                            ["rm", "-rf", bulk], ["mkdir", os.path.join(mount, "New")], ["rmdir", os.path.join(mount, "Target")],
                            ["setfattr", "-n", "user.mailfs.flags", "-v", "\\Seen", path],
                            ["setfattr", "-x", "user.mailfs.flags", path], ["touch", path], ["touch", os.path.join(bulk, "y.eml")],
                            ["truncate", "-s", "0", path], ["ln", path, path + "2"], ["chmod", "600", path],
                            ["sh", "-c", 'echo x >> "$1"', "sh", path]):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode != 0 and "Read-only file system" in done.stderr, (command, done)
            done = subprocess.run([MAILFS, "flag", "+seen", path], capture_output=True, text=True, check=False,
                                  env=place.environment(None))
            assert done.returncode != 0 and len(done.stderr.splitlines()) == 1, done
            run("cat", path)
        heard = server.commands()[before:]
        assert any(re.match(r"\S+ EXAMINE", line) for line in heard), heard
        assert not [line for line in heard if re.match(CHANGING, line, re.I)], heard


if __name__ == "__main__":
    main()
