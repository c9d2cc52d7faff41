# SPDX-License-Identifier: MIT
"""The corpus of real, foreign and malformed mail beside the project, mounted whole and compared with what the
server FETCHes."""
import os

from common import CORPUS, Dovecot, Place, compare_folder, corpus, fetch_mailbox, folders, listed, main, rsync, test


@test("every file of the corpus has the bytes, the size and the date that the server tells")
def _():
    with Dovecot(connections=60) as server, Place() as place:
        count = server.fill(corpus())
        assert count > 2500, count
        server.start()
        with place.mount(server, "connections=4", "cache-size=4G") as mount:
            compared = 0
            for mailbox in ("INBOX", "torture", "i18n"):
                expected = fetch_mailbox(server, mailbox)
                compared += compare_folder(os.path.join(mount, mailbox), expected)
                assert {uid: m.flags for uid, m in fetch_mailbox(server, mailbox).items()} == \
                    {uid: m.flags for uid, m in expected.items()}, f"{mailbox}: reading changed flags"
            assert compared == count, (compared, count)
            print(f"# {compared} messages compared")

            # rsync twice: the second one finds nothing to do.
            target = place.path("copy")
            assert len(rsync(mount, target)) >= count
            assert rsync(mount, target) == []
            names = {mailbox: listed(os.path.join(mount, mailbox)) for mailbox in folders(mount)}
        server.stop()

        # The same from the cache alone, with the server gone.
        with place.mount(server) as mount:
            assert names == {mailbox: listed(os.path.join(mount, mailbox)) for mailbox in folders(mount)}
            assert rsync(mount, target, "--checksum") == []


main(None if os.path.exists(CORPUS) else "the corpus is not here: ../shared/corpus/mail-samples.tar.zst")
