# SPDX-License-Identifier: MIT
"""From mount to unmount: ready when the command returns, every way to end, stale and second mounts, offline."""
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import time

from common import (MAILFS, Dovecot, Place, append, fetch_mailbox, folders, is_mounted, listed, main, processes, read,
                    run_umount, samples, Skip, test, uid_of, wait_for)


def sample_server(**settings):
    server = Dovecot(**settings)
    server.fill(samples.sample_mail())
    return server.start()


def foreground(place, server, *options, name="mnt", **env):
    """mailfs -f, mounted; (Popen, mount point)."""
    mount = place.mountpoint(name)
    words = ",".join((f"tls-ca={server.ca}", *options))
    with open(place.path("stderr"), "wb") as out:
        child = subprocess.Popen([MAILFS, server.url(), mount, "-f", "-o", words], stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=out, env=place.environment(server.password, **env))
    assert wait_for(lambda: is_mounted(mount) or child.poll() is not None, 30)
    assert child.poll() is None, read(place.path("stderr")).decode()
    return child, mount


@test("the command returns when the tree is ready, lets go of its terminal, and runs on in the background")
def _():
    with sample_server() as server, Place() as place:
        mount = place.mountpoint()
        script = f'"{MAILFS}" {server.url()} "{mount}" -o tls-ca={server.ca} && ls "{mount}" && ls "{mount}/INBOX" | wc -l'
        started = time.monotonic()
        # Its pipes close when the last process that holds them ends: a daemon that kept one would be waited for.
        done = subprocess.run(["sh", "-c", script], env=place.environment(server.password), capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "INBOX" in done.stdout.split() and done.stdout.split()[-1] == "159", done.stdout
        assert time.monotonic() - started < 30
        pids = processes(mount)
        assert len(pids) == 1, pids
        if os.geteuid() == 0:  # it lets nobody else look
            assert os.readlink(f"/proc/{pids[0]}/cwd") == "/"
        assert os.getsid(pids[0]) == pids[0], "not in a session of its own"
        place.unmount(mount)


@test("mailfs umount ends it; a second time it says that nothing is mounted there")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            pass
        done = place.mailfs("umount", mount)
        assert done.returncode == 66 and done.stderr.strip(), done


@test("-f stays in the foreground; SIGTERM and SIGINT end it with 0, also while a file is open")
def _():
    with sample_server() as server, Place() as place:
        for number in (signal.SIGTERM, signal.SIGINT):
            child, mount = foreground(place, server)
            folder = os.path.join(mount, "INBOX")
            with open(os.path.join(folder, listed(folder)[0]), "rb") as file:
                file.read(10)
                child.send_signal(number)
                assert child.wait(20) == 0, read(place.path("stderr")).decode()
            assert not is_mounted(mount)


@test("fusermount3 -u (umount) ends it with 0")
def _():
    with sample_server() as server, Place() as place:
        child, mount = foreground(place, server)
        listed(os.path.join(mount, "INBOX"))
        done = subprocess.run(["fusermount3", "-u", mount], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert child.wait(20) == 0, read(place.path("stderr")).decode()
        if os.geteuid() == 0:
            child, mount = foreground(place, server)
            assert run_umount(mount).returncode == 0
            assert child.wait(20) == 0


@test("it logs out: the server sees no connection left, and hears LOGOUT")
def _():
    with sample_server(rawlog=True) as server, Place() as place:
        with place.mount(server) as mount:
            for name in listed(os.path.join(mount, "Sent"))[:3]:
                read(os.path.join(mount, "Sent", name))
        assert wait_for(lambda: any("LOGOUT" in line.upper() for line in server.commands()), 5), server.commands()[-5:]


@test("a stale mount after kill -9 is recognised and replaced")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server, unmount=False) as mount:
            names = listed(os.path.join(mount, "INBOX"))
        for pid in processes(mount):
            os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: not processes(mount))
        try:
            os.listdir(mount)
        except OSError as error:
            assert error.errno in (errno.ENOTCONN, errno.ECONNABORTED), error
        else:
            raise AssertionError("the mount survived its process")
        with place.mount(server) as mount:
            assert listed(os.path.join(mount, "INBOX")) == names
        assert not is_mounted(mount), "one mount is left below the other"


@test("a stale mount goes away by mailfs umount too")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server, unmount=False) as mount:
            pass
        for pid in processes(mount):
            os.kill(pid, signal.SIGKILL)
        done = place.mailfs("umount", mount)
        assert done.returncode == 0 and not is_mounted(mount), done


@test("a second mount of the account is refused at once, with a clear line; the first goes on")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            second = place.mountpoint("second")
            started = time.monotonic()
            done = place.mailfs(server.url(), second, "-o", f"tls-ca={server.ca}", password=server.password)
            assert done.returncode != 0 and time.monotonic() - started < 5, done
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
            assert "mnt" in done.stderr or "already" in done.stderr, done.stderr
            assert not is_mounted(second)
            print("#", done.returncode, done.stderr.strip())
            done = place.mailfs(server.url(), mount, "-o", f"tls-ca={server.ca}", password=server.password)
            assert done.returncode == 66, done
            assert len(listed(os.path.join(mount, "INBOX"))) == 158


@test("two accounts mount beside each other")
def _():
    with sample_server() as one, Dovecot(user="bob") as two, Place() as place:
        two.fill(samples.bulk_mail(5, 500))
        two.start()
        with place.mount(one) as first, place.mount(two, name="other") as second:
            assert "日本語" in folders(first)
            assert folders(second) == ["Bulk", "INBOX"]


@test("mount -t fuse.mailfs and an fstab line work")
def _():
    if os.geteuid() != 0:
        raise Skip("mount(8) needs root")
    helper = shutil.which("mount.fuse3", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if helper is None:
        raise Skip("no mount.fuse3")
    # mount(8) looks for mailfs in the system's directories only: in a mount namespace of its own, one of them is ours.
    # It hands on no HOME either.
    script = """set -eu
        mount --bind "$1/bin" /usr/local/sbin
        mount -t fuse.mailfs work "$1/mnt" -o "dir-time=60,config=$1/config,cache-dir=$1/cache/mailfs/work"
        ls "$1/mnt/INBOX" | wc -l
        umount "$1/mnt"
        mount -T "$1/fstab" "$1/mnt"
        ls "$1/mnt/INBOX" | wc -l
        grep "$1/mnt " /proc/self/mounts
        umount "$1/mnt"
    """
    with sample_server() as server, Place() as place:
        os.mkdir(place.path("bin"))
        shutil.copy(MAILFS, place.path("bin", "mailfs"))
        place.config = place.path("config")
        place.write_config(f"[account work]\nsource={server.url()}\ntls-ca={server.ca}\npassword={server.password}\n")
        mount = place.mountpoint()
        with open(place.path("fstab"), "w", encoding="ascii") as file:
            file.write(f"work {mount} fuse.mailfs noauto,_netdev,nofail,dir-time=60,ro,nosuid,nodev,"
                       f"config={place.config},cache-dir={place.cache}/mailfs/work 0 0\n")
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", place.directory], env=place.environment(),
                              capture_output=True, text=True, timeout=60, check=False)
        if "unshare" in done.stderr:
            raise Skip("no mount namespaces here")
        assert done.returncode == 0, done.stderr
        first, second, line = done.stdout.splitlines()
        assert (first, second) == ("159", "159"), done.stdout
        assert " fuse.mailfs ro," in line, line


@test("with a filled cache it mounts offline, says so, and what was read is readable")
def _():
    with sample_server() as server, Place() as place:
        expected = fetch_mailbox(server, "INBOX")
        with place.mount(server) as mount:
            names = listed(os.path.join(mount, "INBOX"))
            unread = os.path.join("Sent", listed(os.path.join(mount, "Sent"))[0])
            for name in names[:50]:
                read(os.path.join(mount, "INBOX", name))
            tree = folders(mount)
        server.stop()
        with place.mount(server, "timeout=3") as mount:
            assert "offline" in place.said.lower(), f"not said: {place.said!r}"
            assert folders(mount) == tree
            assert listed(os.path.join(mount, "INBOX")) == names
            for name in names[:50]:
                path = os.path.join(mount, "INBOX", name)
                assert read(path) == expected[uid_of(path)].data
            started = time.monotonic()
            try:
                read(os.path.join(mount, unread))
            except OSError as error:
                assert error.errno == errno.EHOSTUNREACH, error
                assert time.monotonic() - started < 1.5, "the line is known to be down: no waiting"
            else:
                raise AssertionError("read without a server and without a cache")
            status = place.mailfs("status", mount)
            assert "offline" in status.stdout.lower(), status.stdout

            # It comes back by itself.
            server.start()
            path = os.path.join(mount, unread)
            assert wait_for(lambda: readable(path), 40, 0.2), place.mailfs("status", mount).stdout
            assert read(path) == fetch_mailbox(server, "Sent")[uid_of(path)].data


def readable(path):
    try:
        return bool(read(path))
    except OSError:
        return False


@test("with an empty cache and no server it does not mount: 69")
def _():
    with sample_server() as server, Place() as place:
        server.stop()
        done = place.mailfs(server.url(), place.mountpoint(), "-o", f"tls-ca={server.ca}", password=server.password)
        assert done.returncode == 69, done
        assert not is_mounted(place.mountpoint())


@test("a remount of an unchanged account fetches no header and no body again")
def _():
    with Dovecot(rawlog=True) as server, Place() as place:
        server.fill(samples.bulk_mail(400, 3000))
        server.start()
        with place.mount(server) as mount:
            for name in listed(os.path.join(mount, "Bulk")):
                read(os.path.join(mount, "Bulk", name))
        before = sum(os.path.getsize(server.path("rawlog", name)) for name in os.listdir(server.path("rawlog")))
        with place.mount(server) as mount:
            for name in listed(os.path.join(mount, "Bulk")):
                read(os.path.join(mount, "Bulk", name))
        after = sum(os.path.getsize(server.path("rawlog", name)) for name in os.listdir(server.path("rawlog")))
        assert after - before < 40_000, f"{after - before} bytes travelled for nothing"


@test("systemd is told when it is ready")
def _():
    with sample_server() as server, Place() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(place.path("notify"))
        notify.settimeout(30)
        child, _ = foreground(place, server, NOTIFY_SOCKET=place.path("notify"))
        assert b"READY=1" in notify.recv(4096).split(b"\n")
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


@test("status says of a mount that stands still that it does not answer, and ends")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            (process,) = processes(mount)
            os.kill(process, signal.SIGSTOP)
            try:
                status = place.mailfs("status", mount)
            finally:
                os.kill(process, signal.SIGCONT)
            assert status.returncode == 69 and "does not answer" in status.stderr, status
            assert place.mailfs("status", mount).returncode == 0


@test("status tells in words and in JSON; log and status are files in .mailfs")
def _():
    with sample_server() as server, Place() as place:
        append(server, "INBOX", b"Subject: status\r\n\r\nBody\r\n")
        with place.mount(server) as mount:
            folder = os.path.join(mount, "INBOX")
            read(os.path.join(folder, listed(folder)[0]))
            status = place.mailfs("status", mount)
            assert status.returncode == 0, status
            assert "localhost" in status.stdout and "alice" in status.stdout, status.stdout
            # Of all mounts there are; those of other tests may be in trouble.
            everywhere = place.mailfs("status")
            assert mount in everywhere.stdout, everywhere
            parsed = place.mailfs("status", mount, "--json")
            assert isinstance(json.loads(parsed.stdout), (dict, list)), parsed
            for name in ("status", "log", "metrics", "capabilities"):
                path = os.path.join(mount, ".mailfs", name)
                data = subprocess.run(["cat", path], capture_output=True, check=True, timeout=10).stdout
                assert data.strip(), f"{name} is empty"
                assert server.password.encode() not in data
                assert read(path), f"{name} is empty to python"
            assert b"IDLE" in read(os.path.join(mount, ".mailfs", "capabilities"))
            print("#", status.stdout.strip().replace("\n", "\n# "))
        assert place.mailfs("status", place.path("mnt")).returncode == 66


main()
