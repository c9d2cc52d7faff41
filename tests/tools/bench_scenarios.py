# SPDX-License-Identifier: MIT
"""The scenarios. Each is a small function that measures one thing, and the peers it is to be compared with.

A scenario gets a Pass (one run on one line) and gives its figures to note(). `needs` says which state of the mount
it wants: "fresh" nothing cached, just mounted; "listed" and listed; "filled" the bodies of Bulk cached, just mounted;
"mounted" whatever is there. One that cannot run raises Skip with the reason.
"""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

from bench_world import FEW, MAILDROP, NEWS, Sample, run_timed, wait_for
from common import append, listed, rsync


class Skip(Exception):
    """A scenario that makes no sense here, and why."""


SCENARIOS = []  # (function, what it needs, the largest number of messages)


def scenario(needs, most=None):
    def register(function):
        SCENARIOS.append((function, needs, most))
        return function
    return register


class Pass:
    """One run on one line. note(row, side, sample) keeps a figure."""

    def __init__(self, world, mounted, note, first):
        self.world, self.mounted, self.line, self.note = world, mounted, mounted.line, note
        self.first = first  # of the runs: what is measured once is measured now
        self.copies = tempfile.mkdtemp(prefix="copies-")
        self.filled = False  # the bodies of Bulk are cached

    def prepare(self, needs):
        mounted = self.mounted
        if needs in ("fresh", "listed"):
            mounted.forget()
            self.filled = False
        if needs == "filled":
            self.fill()
        if needs != "mounted" or mounted.stack is None:
            mounted.mount()
        if needs == "listed":
            listed(mounted.folder())

    def copy(self):
        """Where the copy of Bulk on the local disk is, made through the mount."""
        return os.path.join(self.copies, "cold")

    def fill(self):
        if not self.filled or not os.path.isdir(self.copy()):
            self.mounted.mount()
            run_timed(["cp", "-a", self.mounted.folder(), self.target("cold")])
            self.filled = True

    def target(self, name):
        path = os.path.join(self.copies, name)
        shutil.rmtree(path, ignore_errors=True)
        return path

    def close(self):
        shutil.rmtree(self.copies, ignore_errors=True)


def grep(path):
    return ["grep", "-r", "never to be found", path]


# --- listing ---

@scenario("fresh")
def first_listing(run):
    run.note("mount, nothing cached", "mailfs", run.mounted.mounting)
    run.note("first ls", "bare", run.world.bare_list(run.line))
    run.note("first ls", "mailfs", run.mounted.run("ls", "-U", run.mounted.folder()))
    run.note("ls -l", "mailfs", run.mounted.run("ls", "-l", run.mounted.folder()))


# --- one message ---

@scenario("listed")
def one_message(run):
    names = listed(run.mounted.folder())
    path = os.path.join(run.mounted.folder(), names[len(names) // 2])
    run.note("cat one", "mailfs", run.mounted.run("cat", path))


# --- scans ---

@scenario("listed", most=200_000)
def cold_copy(run):
    target = run.target(os.path.basename(run.copy()))
    run.note("cp -a cold", "bare", run.world.bare_bodies(run.line))
    sample = run.mounted.run("cp", "-a", run.mounted.folder(), target)
    count = len(os.listdir(target))
    if count != run.world.messages:
        raise RuntimeError(f"{count} files were copied, not {run.world.messages}")
    run.note("cp -a cold", "mailfs", sample)
    run.filled = True
    again = run.target("again")
    run.note("cp -a, page cache", "mailfs", run.mounted.run("cp", "-a", run.mounted.folder(), again))
    local = Sample(*run_timed(["cp", "-a", again, run.target("local")]))
    run.note("cp -a cold", "ext4", local)
    run.note("cp -a, page cache", "ext4", local)
    if run.first and run.world.messages <= 10_000 and not run.line.tls:
        first, idle = run.world.mbsync(run.line)
        run.note("cp -a cold", "mbsync", first)
        run.note("rsync -a idle", "mbsync", idle)


# --- after a remount, bodies cached ---

@scenario("filled", most=200_000)
def remounted_listing(run):
    measure_remount(run)
    run.note("ls -l", "ext4", Sample(*run_timed(["ls", "-l", run.copy()])))


@scenario("listed")
def remounted_listing_without_bodies(run):
    if run.world.messages > 200_000:
        run.mounted.mount()
        measure_remount(run)


def measure_remount(run):
    run.mounted.settle()
    run.note("remount", "mailfs", run.mounted.mounting)
    run.note("remount ls", "mailfs", run.mounted.run("ls", "-U", run.mounted.folder()))


@scenario("filled", most=200_000)
def warm_grep(run):
    local = [Sample(*run_timed(grep(run.copy()))) for _ in range(3)]
    listed(run.mounted.folder())
    run.note("grep -r, disk cache", "ext4", local[1])
    run.note("grep -r, disk cache", "mailfs", run.mounted.run(*grep(run.mounted.folder())))
    run.note("grep -r, page cache", "ext4", local[2])
    run.note("grep -r, page cache", "mailfs", run.mounted.run(*grep(run.mounted.folder())))


# --- cold again ---

@scenario("fresh", most=20_000)
def cold_grep(run):
    listing, bodies = run.world.bare_list(run.line), run.world.bare_bodies(run.line)
    run.note("grep -r cold", "bare", Sample(listing.seconds + bodies.seconds, listing.cpu + bodies.cpu))
    run.note("grep -r cold", "mailfs", run.mounted.run(*grep(run.mounted.folder())))


@scenario("fresh", most=20_000)
def cold_rsync(run):
    target = run.target("rsync")
    listing, bodies = run.world.bare_list(run.line), run.world.bare_bodies(run.line)
    run.note("rsync -a first", "bare", Sample(listing.seconds + bodies.seconds, listing.cpu + bodies.cpu))
    run.note("rsync -a first", "mailfs", run.mounted.run("rsync", "-a", run.mounted.folder() + "/", target + "/"))
    run.mounted.mount()
    with run.mounted.measured() as sample:
        changed = rsync(run.mounted.folder(), target)
    run.note("rsync -a idle", "mailfs", sample)
    local = run.target("local")
    run.note("rsync -a first", "ext4", Sample(*run_timed(["rsync", "-a", target + "/", local + "/"])))
    run.note("rsync -a idle", "ext4", Sample(*run_timed(["rsync", "-a", target + "/", local + "/"])))
    if changed:
        raise RuntimeError(f"an idle rsync copied {len(changed)}")


@scenario("fresh", most=20_000)
def two_readers(run):
    before = [run.world.bare_bodies(run.line, name) for name in ("A", "B")]
    run.note("two readers, cold", "bare", Sample(sum(each.seconds for each in before)))
    for name in ("A", "B"):
        listed(run.mounted.folder(name))
    with run.mounted.measured() as sample:
        copies = [subprocess.Popen(["cp", "-a", run.mounted.folder(name), run.target(name)]) for name in ("A", "B")]
        codes = [copy.wait() for copy in copies]
    if codes != [0, 0]:
        raise RuntimeError(f"cp: exit {codes}")
    run.note("two readers, cold", "mailfs", sample)


@scenario("fresh", most=20_000)
def large_messages(run):
    names = listed(run.mounted.folder("Large"))
    paths = [os.path.join(run.mounted.folder("Large"), name) for name in names]
    run.note("200 of 1 MB, cold", "bare", run.world.bare_bodies(run.line, "Large"))
    run.note("200 of 1 MB, cold", "mailfs", run.mounted.run("cat", *paths))


# --- big messages ---

@scenario("fresh", most=200_000)
def head_of_a_big_one(run):
    for name in listed(run.mounted.folder("Large"))[:20]:  # the server's sizes prove honest
        run_timed(["cat", os.path.join(run.mounted.folder("Large"), name)])
    path = os.path.join(run.mounted.folder("Big"), listed(run.mounted.folder("Big"))[0])
    run.note("head of 40 MB", "mailfs", run.mounted.run("head", "-c", "4096", path))
    path = os.path.join(run.mounted.folder("Big"), listed(run.mounted.folder("Big"))[1])
    run.note("cat 40 MB", "mailfs", run.mounted.run("cat", path))


# --- push ---

@scenario("mounted")
def new_mail(run):
    run.note("new mail to visible", "bare", run.world.idle(run.line, "B"))
    folder = run.mounted.folder("A")
    count = len(listed(folder))
    time.sleep(1.5)  # until the line is idle
    append(run.world.server, "A", NEWS)
    with run.mounted.measured() as sample:  # from the server's OK on
        found = wait_for(lambda: len(listed(folder)) > count, 5.0, 0.005)
    if not found:
        raise Skip("not within 5 s: no push")
    run.note("new mail to visible", "mailfs", sample)


# --- changes ---

def shell(run, text, *paths):
    return run.mounted.run("sh", "-c", text, "sh", *paths)


@scenario("filled", most=20_000)
def restore(run):
    run.note("restore", "bare", run.world.append_one_by_one(run.line, "Appended", run.world.messages))
    run.world.drop("Appended")
    os.mkdir(run.mounted.folder("Restored"))
    run.note("restore", "mailfs", shell(run, 'cp -a "$1"/. "$2" && sync "$2"', run.copy(), run.mounted.folder("Restored")))
    count = run.world.count("Restored")
    run.world.drop("Restored")
    if count != run.world.messages:
        raise RuntimeError(f"{count} messages were restored, not {run.world.messages}")


@scenario("fresh", most=200_000)
def changes_to_many(run):
    world, folder = run.world, run.mounted.folder
    for row, command in (("flag, 1,000", "STORE"), ("mv *.eml, 1,000", "MOVE"), ("rm -r, 1,000", "MOVE")):
        run.note(row, "bare", world.change_one_by_one(run.line, command))
    world.gather()
    run.mounted.mount()
    paths = [os.path.join(folder("Few"), name) for name in listed(folder("Few"))]
    with run.mounted.measured() as sample:
        done = run.mounted.place.mailfs("flag", "+flagged", *paths)
    if done.returncode != 0:
        raise RuntimeError(f"mailfs flag: exit {done.returncode}: {done.stderr}")
    run.note("flag, 1,000", "mailfs", sample)
    run.note("mv *.eml, 1,000", "mailfs", shell(run, 'mv "$1"/*.eml "$2" && sync "$1"', folder("Few"), folder("Other")))
    if world.count("Other") != FEW:
        raise RuntimeError(f"{world.count('Other')} were moved, not {FEW}")
    run.note("rm -r, 1,000", "mailfs", shell(run, 'rm -r "$1" && sync "$2"', folder("Other"), folder("Trash")))
    if world.count("Trash") != FEW:
        raise RuntimeError(f"{world.count('Trash')} are in the trash, not {FEW}")


# --- a maildrop ---

@scenario("fresh")
def maildrop(run):
    mounted, target = run.mounted, run.target("maildrop")
    run.note("maildrop, cp -a cold", "bare", run.world.bare_maildrop(run.line))
    mounted.forget()
    mounted.mount(pop=True)
    run.note("maildrop, ls", "mailfs", mounted.run("ls", "-U", mounted.folder("INBOX")))
    sample = mounted.run("cp", "-a", mounted.folder("INBOX"), target)
    count = len(os.listdir(target))
    mounted.forget()
    if count != MAILDROP:
        raise RuntimeError(f"{count} files were copied, not {MAILDROP}")
    run.note("maildrop, cp -a cold", "mailfs", sample)
    run.note("maildrop, cp -a cold", "ext4", Sample(*run_timed(["cp", "-a", target, run.target("local")])))
    if run.first and run.line.delay:
        run.note("maildrop, cp -a cold", "poplib", run.world.poplib(run.line, 200))


# --- sending ---

SENT = b"""\
From: alice@localhost\r
To: bob@localhost\r
Subject: number %d\r
Message-ID: <%d.%d@bench.example>\r
Date: Sun, 22 Nov 2026 12:00:00 +0000\r
MIME-Version: 1.0\r
\r
""" + b"A line of usual length, of which there are some in each of them.\r\n" * 30


@scenario("mounted")
def sending(run):
    number = 200 if run.line.delay else 1000
    row = f"{number:,} messages sent"
    source = run.target("outgoing")
    os.mkdir(source)
    for i in range(number):
        with open(os.path.join(source, f"{i:04}.eml"), "wb") as file:
            file.write(SENT % (i, i, time.monotonic_ns()))
    example = os.path.join(source, "0000.eml")
    run.note(row, "bare", run.world.bare_sender(run.line, example, number))
    if run.first:
        run.note(row, "msmtp", run.world.msmtp(run.line, example, number))
    before = run.world.taken()
    with run.mounted.measured() as sample:
        run_timed(["cp", "-r", source + "/.", run.mounted.folder("Outbox")])
        all_taken = wait_for(lambda: run.world.taken() - before >= number, 300, 0.02)
    if not all_taken:
        raise RuntimeError(f"{run.world.taken() - before} of {number} were sent")
    run.note(row, "mailfs", sample)


def run_all(run, wanted, complain):
    """Every scenario that is wanted; one that fails does not keep the others from running."""
    for function, needs, most in SCENARIOS:
        name = function.__name__
        if (wanted and name not in wanted) or (most and run.world.messages > most):
            continue
        try:
            run.prepare(needs)
            function(run)
        except Skip as reason:
            complain(name, f"skipped: {reason}")
        except (RuntimeError, AssertionError, OSError, subprocess.SubprocessError, IndexError) as error:
            complain(name, f"failed: {error}")
            with contextlib.suppress(Exception):
                run.mounted.forget()
