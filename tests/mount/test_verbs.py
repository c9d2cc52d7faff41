# SPDX-License-Identifier: MIT
"""The verbs that are no mount: mailfs check tells how far the way is good, mailfs fetch brings mail into the cache."""
import os
import pty
import signal
import subprocess
import time

from common import MAILFS, Dovecot, Exim, Place, fingerprint, free_ports, is_mounted, listed, main, processes, read, samples, test, \
    wait_for

STAGES = ["config", "DNS", "TCP", "TLS", "login", "server", "folders", "quota"]


def check(place, code, *arguments, **rest):
    """mailfs check ends with @code. {stage: (verdict, text)}, and the stages in their order."""
    done = place.mailfs("check", *arguments, **rest)
    assert done.returncode == code, f"exit {done.returncode}, not {code}: {done.stdout}{done.stderr}"
    found = {}
    for line in done.stdout.splitlines():
        words = line.split(None, 2)
        if words[1] in ("ok", "FAILED", "-"):
            found[words[0]] = (words[1], words[2])
    print("# " + done.stdout.strip().replace("\n", "\n# "))
    assert not os.path.exists(place.cache), "check made a cache"
    return found


def stops_at(found, stage, says):
    """All stages before @stage are good, it is the last one, and its line holds @says."""
    assert list(found)[-1] == stage, list(found)
    assert found[stage][0] == "FAILED", found
    assert all(verdict == "ok" for verdict, _ in list(found.values())[:-1]), found
    assert says in found[stage][1], found[stage]


def sample_server(n=3, size=1000, **settings):
    server = Dovecot(**settings)
    server.fill(samples.bulk_mail(n, size, mailbox=("INBOX",)))
    return server.start()


def files_below(path):
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]


@test("check goes all the way, by STARTTLS, TLS and in the clear")
def _():
    with sample_server(quota=1000000) as server, Place() as place:
        pin = fingerprint(server.path("server.pem"))
        for url, option in ((server.url(), f"tls-ca={server.ca}"), (server.url(True), f"tls-ca={server.ca}"),
                            (server.url(True), f"tls-fingerprint=sha256:{pin}"), (server.url(), "tls=none")):
            found = check(place, 0, url, "-o", option, password=server.password)
            assert list(found) == STAGES, list(found)
            assert all(verdict == "ok" for verdict, _ in found.values()), found
            assert (f"sha256:{pin}" in found["TLS"][1]) == (option != "tls=none"), found["TLS"]
            assert "IDLE" in found["server"][1] and "without compression" in found["server"][1], found["server"]
            assert "3 messages" in found["folders"][1], found["folders"]
            assert "of 977.0" in found["quota"][1], found["quota"]


@test("check stops at the first stage that fails, with the exit code of a mount")
def _():
    port = free_ports(1)[0]
    with sample_server(mechanisms="plain login") as server, Place() as place:
        trust = f"tls-ca={server.ca}"
        stops_at(check(place, 78, "nosuch"), "config", "nosuch")
        stops_at(check(place, 68, "imaps://alice@nosuch.invalid/"), "DNS", "no host named")
        stops_at(check(place, 69, f"imaps://alice@127.0.0.1:{port}/"), "TCP", "refused")
        stops_at(check(place, 76, server.url(True), password="x"), "TLS", "tls-fingerprint=sha256:")
        stops_at(check(place, 76, f"imaps://alice@localhost:{server.port}/", password="x"), "TLS", "imaps:// against imap://")
        stops_at(check(place, 69, f"imap://alice@localhost:{server.tls_port}/", "-o", "timeout=2", password="x"), "TLS",
                 "imaps://")
        stops_at(check(place, 77, server.url(), "-o", trust, password="wrong"), "login", "check user and password")
        stops_at(check(place, 77, server.url(), "-o", trust, "--auth", "xoauth2", password="x"), "login", "auth=")
        stops_at(check(place, 78, server.url(), "-o", trust), "password", "MAILFS_PASSWORD")
        assert server.count_log(r"auth failed, [1-9]") == 1


@test("check reads the config file, and says why not")
def _():
    with sample_server() as server, Place() as place:
        text = (f"[account work]\nsource = {server.url()}\ntls-ca = {server.ca}\npassword = {server.password}\n"
                f"smtp = smtps://alice@localhost:{free_ports(1)[0]}/\n")
        place.write_config(text)
        found = check(place, 69, "work")
        assert "an account of " + place.config in found["config"][1], found["config"]
        stops_at(found, "SMTP", "refused")
        assert server.password not in str(found)
        place.write_config(text, 0o644)
        stops_at(check(place, 78, "work"), "config", "chmod 600")


@test("check logs in where mail is sent, and says what that server takes")
def _():
    with sample_server() as server, Exim(server, utf8=False, size_limit=5_000_000).start() as relay, Place() as place:
        pin = fingerprint(server.path("server.pem"))

        def smtp(code, url, *options):
            return check(place, code, server.url(True), "-o", f"tls-fingerprint=sha256:{pin}", "-o", f"smtp={url}",
                         *options, password=server.password)

        for url in (relay.url(), relay.url(True)):
            verdict, text = smtp(0, url)["SMTP"]
            assert verdict == "ok" and "TLSv1.3; logged in with PLAIN; takes messages of up to 4.8\u00a0MiB, 8-bit" in text, text
            assert "not: addresses beyond ASCII" in text, text
        # A host of another name is not the one that was pinned.
        stops_at(smtp(76, relay.url(host="127.0.0.1")), "SMTP", "tls-ca")
        stops_at(smtp(77, relay.url(), "-o", "smtp-password-command=echo wrong"), "SMTP", "535 ")
        for mechanism in ("login", "cram-md5"):
            text = smtp(0, relay.url(), "-o", f"smtp-password-command=echo {server.password}", "-o", f"auth={mechanism}")["SMTP"][1]
            assert f"logged in with {mechanism.upper()}" in text, text
        stops_at(smtp(76, f"smtp://alice@localhost:{server.port}/"), "SMTP", "no SMTP")


@test("check leaves a running mount of the account alone")
def _():
    with sample_server() as server, Place() as place, place.mount(server) as mount:
        before = sorted(files_below(place.cache))
        done = place.mailfs("check", server.url(), "-o", f"tls-ca={server.ca}", password=server.password)
        assert done.returncode == 0, done.stdout
        assert before == sorted(files_below(place.cache))
        assert len(listed(os.path.join(mount, "INBOX"))) == 3


@test("fetch brings every message into the cache, to be read while the server is away")
def _():
    with Dovecot() as server, Place() as place:
        server.fill(samples.sample_mail())
        server.start()
        with place.mount(server, "timeout=5") as mount:
            done = place.mailfs("fetch", mount)
            assert done.returncode == 0 and done.stderr == "", done
            files = files_below(mount)
            assert done.stdout.startswith(f"{len(files)} messages, "), done.stdout
            assert wait_for(lambda: len(place.bodies()) == len(files))
            server.stop()
            for path in files:
                assert len(read(path)) == os.stat(path).st_size
            done = place.mailfs("fetch", files[0], os.path.join(mount, "Archive"))
            assert done.returncode == 0, done


@test("fetch asks for each message once, and in sets")
def _():
    with sample_server(600, 2000, rawlog=True) as server, Place() as place:
        with place.mount(server) as mount:
            assert place.mailfs("fetch", mount).returncode == 0
            asked = [line.split()[3] for line in server.commands() if "BODY.PEEK[]" in line]
        uids = []
        for part in ",".join(asked).split(","):
            first, _, last = part.partition(":")
            uids += range(int(first), int(last or first) + 1)
        assert sorted(uids) == list(range(1, 601)), f"{len(uids)} asked for"
        print(f"# {len(asked)} commands")
        assert len(asked) < 200


@test("fetch names what failed and why, and ends with 74; what is cached is no failure")
def _():
    with sample_server(30) as server, Place() as place:
        with place.mount(server, "timeout=2") as mount:
            inbox = os.path.join(mount, "INBOX")
            kept = listed(inbox)[0]
            assert place.mailfs("fetch", os.path.join(inbox, kept)).stdout.startswith("1 message, ")
            server.stop()
            done = place.mailfs("fetch", inbox)
            assert done.returncode == 74, done
            assert done.stdout.startswith("1 message, ") and "29 failed" in done.stdout, done.stdout
            lines = done.stderr.splitlines()
            assert lines[20] == "mailfs: and 9 more failures", lines
            assert all(line.startswith(f"mailfs: {inbox}/") and "server" in line for line in lines[:20]), lines
            assert kept not in done.stderr


@test("Ctrl-C ends fetch at once, though the server stands still")
def _():
    with sample_server(30) as server, Place() as place:
        with place.mount(server, "timeout=20") as mount:
            listed(os.path.join(mount, "INBOX"))
            server.pause()
            try:
                fetch = subprocess.Popen([MAILFS, "fetch", mount], env=place.environment(), text=True,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                time.sleep(1)
                started = time.monotonic()
                fetch.send_signal(signal.SIGINT)
                out, _ = fetch.communicate(timeout=10)
                took = time.monotonic() - started
            finally:
                server.resume()
        assert fetch.returncode == 130, fetch.returncode
        assert out.startswith("interrupted: 0 messages") and "30 are missing" in out, out
        assert took < 1, took


@test("a terminal sees how far fetch is, and one line is left")
def _():
    with sample_server(300, 4000) as server, Place() as place:
        with place.mount(server) as mount:
            pid, terminal = pty.fork()
            if pid == 0:
                os.execve(MAILFS, ["mailfs", "fetch", mount], place.environment())
            text = b""
            try:
                while True:
                    text += os.read(terminal, 4096)
            except OSError:  # the other end is closed
                pass
            os.close(terminal)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    shown = text.decode()
    assert "\r" in shown and " messages  " in shown, shown
    # What is erased is not there.
    left = [part.rpartition("\x1b[K")[2] for part in shown.replace("\r\n", "\n").splitlines()]
    assert [line for line in left if line.strip()][-1].startswith("300 messages, "), shown


@test("fetch goes nowhere but to mounts of mailfs")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server) as mount:
            for path, why in ((place.directory, "no mailfs mount"), (place.path("absent"), "No such file")):
                done = place.mailfs("fetch", mount, path)
                assert done.returncode == 66 and why in done.stderr and done.stdout == "", done
            assert not place.body_files()
            assert place.mailfs("fetch").returncode == 64
            assert place.mailfs("fetch", "--no-such-option").returncode == 64


@test("fetch on a mount that has died says so")
def _():
    with sample_server() as server, Place() as place:
        with place.mount(server, unmount=False) as mount:
            for pid in processes(mount):
                os.kill(pid, signal.SIGKILL)
            assert wait_for(lambda: not processes(mount))
            done = place.mailfs("fetch", mount)
            assert done.returncode == 66 and "dead" in done.stderr, done
            assert place.mailfs("umount", mount).returncode == 0
            assert not is_mounted(mount)


@test("more than the cache keeps: fetch says so")
def _():
    with sample_server(100, 100000) as server, Place() as place:
        with place.mount(server, "cache-size=2M") as mount:
            done = place.mailfs("fetch", mount)
            assert done.returncode == 0 and "cache-size" in done.stderr, done


main()
