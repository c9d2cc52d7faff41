# SPDX-License-Identifier: MIT
"""Extended attributes, and statfs from the quota."""
import email.utils
import errno
import os
import re
import subprocess

from common import Dovecot, Place, fetch_mailbox, flags_of, listed, main, names, samples, test, uid_of, wait_for

USER = {"user.mailfs.flags", "user.mailfs.uid", "user.mailfs.uidvalidity", "user.mail.subject", "user.mail.from",
        "user.mail.to", "user.mail.date", "user.mail.message-id"}


def attribute(path, name):
    try:
        return os.getxattr(path, name).decode("utf-8")
    except OSError as error:
        assert error.errno == errno.ENODATA, error
        return None


@test("flags, UID and UIDVALIDITY are the server's")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        line = server.client()
        validity = int(re.search(rb"UIDVALIDITY (\d+)", line.status("INBOX", "(UIDVALIDITY)")[1][0]).group(1))
        line.logout()
        expected = fetch_mailbox(server, "INBOX")
        assert any("work" in m.flags for m in expected.values())
        with place.mount(server) as mount:
            for name in listed(os.path.join(mount, "INBOX")):
                path = os.path.join(mount, "INBOX", name)
                assert flags_of(path) == expected[uid_of(path)].flags, name
                assert int(attribute(path, "user.mailfs.uidvalidity")) == validity


@test("subject, from, to, date and message-id are decoded")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        expected = fetch_mailbox(server, "INBOX")
        checked = 0
        with place.mount(server) as mount:
            for name in listed(os.path.join(mount, "INBOX")):
                path = os.path.join(mount, "INBOX", name)
                data = expected[uid_of(path)].data
                message_id, date, sender, subject = names.fields_of(data)
                text = None if subject is None else names.decode_header(subject).strip()
                if text and text.isprintable():
                    checked += 1
                    got = attribute(path, "user.mail.subject")
                    assert got.strip() == text, (name, got, text)
                if sender and sender.isascii() and b"=?" in sender:
                    who, address = email.utils.parseaddr(sender.decode())
                    got = attribute(path, "user.mail.from")
                    assert names.decode_header(who.encode()) in got and address in got, (got, sender)
                if b"\r\nTo: Alice" in data:
                    assert "alice@example.org" in attribute(path, "user.mail.to")
                got = (attribute(path, "user.mail.message-id") or "").strip("<>")
                assert got == (message_id or b"").decode().strip("<>"), (name, got)
                assert not date or attribute(path, "user.mail.date"), name
        assert checked > 120, checked


@test("getfattr -n gives each by its name; only flags are listed, so that copying a file copies no header twice")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            folder = os.path.join(mount, "Sent")
            for path in (os.path.join(folder, name) for name in listed(folder)):
                assert os.listxattr(path) == (["user.mailfs.flags"] if flags_of(path) else []), path
                for name in USER:
                    text = subprocess.run(["getfattr", "-n", name, path], check=True, capture_output=True, text=True)
                    assert name + "=" in text.stdout, text.stdout


@test("names outside user. are EOPNOTSUPP, unknown ones ENODATA, and cp -a still succeeds")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server) as mount:
            folder = os.path.join(mount, "Sent")
            path = os.path.join(folder, listed(folder)[0])
            for name, number in (("security.selinux", errno.EOPNOTSUPP), ("trusted.x", errno.EOPNOTSUPP),
                                 ("system.posix_acl_access", errno.EOPNOTSUPP), ("user.nothing", errno.ENODATA)):
                if name == "trusted.x" and os.geteuid() != 0:
                    continue  # the kernel itself says ENODATA
                try:
                    os.getxattr(path, name)
                except OSError as error:
                    assert error.errno == number, (name, error)
                else:
                    raise AssertionError(name)
            subprocess.run(["cp", "-a", folder, place.path("copy")], check=True)
            subprocess.run(["rsync", "-aAX", folder + "/", place.path("copy2")], check=True)


@test("statfs is the quota")
def _():
    limit = 64 * 1024 * 1024
    with Dovecot(quota=limit) as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        used = int(re.search(rb"STORAGE (\d+) ", [l for l in quota(server) if b"STORAGE" in l][0]).group(1)) * 1024
        with place.mount(server) as mount:
            # It is told from memory: a moment after the mount, the server may not have answered yet.
            status = wait_for(lambda: os.statvfs(mount).f_blocks and os.statvfs(mount), 5)
            total = status.f_blocks * status.f_frsize
            free = status.f_bavail * status.f_frsize
            assert abs(total - limit) <= 1024 * 1024, total
            assert abs((total - free) - used) <= 1024 * 1024, (total, free, used)
            subprocess.run(["df", mount], check=True, stdout=subprocess.DEVNULL)
            assert os.path.exists(os.path.join(mount, ".mailfs", "quota"))


def quota(server):
    line = server.client()
    try:
        return [item for part in line.getquotaroot("INBOX")[1] for item in part]
    finally:
        line.logout()


@test("statfs works where the server knows no quota")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.bulk_mail(3, 1000))
        server.start()
        with place.mount(server) as mount:
            assert os.statvfs(mount).f_namemax == 255
            subprocess.run(["df", mount], check=True, stdout=subprocess.DEVNULL)


main()
