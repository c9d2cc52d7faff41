# SPDX-License-Identifier: MIT
"""Programs that keep an index of files: git and notmuch. What has not changed is not read again."""
import os
import re
import shutil

from common import Place, Skip, fetch_mailbox, filled, flags_of, listed, main, read, run, test, wait_for

MESSAGES = 60


def needs(program):
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed: run contrib/install")


def opened(mount):
    """How many files of mail were opened or read so far: those of the question itself are always as many."""
    rows = dict(re.findall(r"^mailfs_kernel_(\w+)_total (\d+)$", read(os.path.join(mount, ".mailfs", "metrics")).decode(), re.M))
    return int(rows["open"])


def opened_by(mount, act):
    before, again = opened(mount), opened(mount)
    act()
    return opened(mount) - again - (again - before)


@test("git: a folder of mail is added and committed; status reads nothing, also after a remount; a clone has the same bytes")
def _():
    needs("git")
    with filled(MESSAGES) as server, Place() as place:
        env = place.environment(GIT_DIR=place.path("mail.git"), GIT_WORK_TREE=os.path.join(place.path("mnt"), "Bulk"),
                                GIT_CONFIG_NOSYSTEM="1", GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@example.org",
                                GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@example.org")

        def status():
            return run("git", "status", "--porcelain", env=env).stdout.decode()

        with place.mount(server) as mount:
            run("git", "init", "-q", env=env)
            run("git", "add", ".", env=env)
            run("git", "commit", "-q", "-m", "mail", env=env)
            assert status() == ""
            assert opened_by(mount, status) == 0
        with place.mount(server) as mount:
            assert status() == ""
            assert opened_by(mount, status) == 0
            first, second, *_ = listed(os.path.join(mount, "Bulk"))
            os.unlink(os.path.join(mount, "Bulk", first))
            run("cp", "-p", os.path.join(mount, "Bulk", second), os.path.join(mount, "Bulk", "copy.eml"))
            assert status().splitlines() == [f" D {first}", "?? copy.eml"]
        clean = {name: value for name, value in env.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
        run("git", "clone", "-q", env["GIT_DIR"], place.path("clone"), env=clean)
        cloned = [read(os.path.join(place.path("clone"), name)) for name in listed(place.path("clone"))]
        held = [message.data for mailbox in ("Bulk", "Trash") for message in fetch_mailbox(server, mailbox).values()]
        assert len(cloned) == MESSAGES and set(cloned) == set(held)


@test("notmuch: .maildir is indexed once, search finds the file, and a tag that is a flag becomes one on the server")
def _():
    needs("notmuch")
    with filled(MESSAGES) as server, Place() as place, place.mount(server) as mount:
        env = place.environment(NOTMUCH_CONFIG=place.path("notmuch-config"))
        os.mkdir(place.path("notmuch"))
        with open(env["NOTMUCH_CONFIG"], "w", encoding="utf-8") as file:
            file.write(f"[database]\npath={place.path('notmuch')}\nmail_root={mount}/.maildir\n[new]\ntags=unread\n"
                       "[maildir]\nsynchronize_flags=true\n[user]\nprimary_email=a@example.org\n")
        run("notmuch", "new", "--quiet", env=env)
        assert int(run("notmuch", "count", "*", env=env).stdout) == MESSAGES
        assert opened_by(mount, lambda: run("notmuch", "new", "--quiet", env=env)) == 0
        uid, message = next((uid, message) for uid, message in fetch_mailbox(server, "Bulk").items()
                            if "\\Seen" not in message.flags)
        mid = re.search(rb"^message-id: *<([^>]*)>", message.data, re.I | re.M).group(1).decode()
        (path,) = run("notmuch", "search", "--output=files", f"id:{mid}", env=env).stdout.decode().splitlines()
        assert read(path) == message.data
        run("notmuch", "tag", "-unread", "+flagged", f"id:{mid}", env=env)
        want = message.flags | {"\\Seen", "\\Flagged"}
        assert fetch_mailbox(server, "Bulk", str(uid))[uid].flags == want
        name = next(name for name in listed(os.path.join(mount, "Bulk")) if read(os.path.join(mount, "Bulk", name)) == message.data)
        assert wait_for(lambda: flags_of(os.path.join(mount, "Bulk", name)) == want)


if __name__ == "__main__":
    main()
