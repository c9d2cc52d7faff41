# SPDX-License-Identifier: MIT
"""What an account must hold after a sequence of operations: plain Python, no mail program.

A Model is fed with what was done and how it was answered, and then compared with what a server holds (Held, by
mailbox) and with what a mount shows (Shown, by mailbox). What was answered with success is certain; what was cut off
may have happened or not, wholly: a Copy then has several possible places, of which exactly one must be true.
"""
import hashlib
import itertools
import re
from typing import NamedTuple

from common import names

DELETED = "\\Deleted"


class Held(NamedTuple):
    """A message as the server tells it."""
    uid: int
    mid: str
    digest: str
    flags: frozenset
    date: int


class Shown(NamedTuple):
    """A message file as the mount shows it. uid None: a file that the server does not have."""
    name: str
    uid: int
    digest: str
    size: int
    read: int
    date: int
    flags: frozenset


def digest_of(data):
    return hashlib.sha256(data).hexdigest()[:20]


def mid_of(data):
    found = re.search(rb"^message-id:[ \t]*(<[^>\r\n]*>)", data.split(b"\r\n\r\n", 1)[0], re.M | re.I)
    return found.group(1).decode("ascii", "replace") if found else ""


def v1_name(data, date, uid=0):
    return names.name_of(date, uid, data) + ".eml"


def is_numbered(name, base):
    """x.eml, x~2.eml, x~3.eml: what a second message of one name is called."""
    return name == base or re.fullmatch(re.escape(base[:-4]) + r"~([2-9]|[1-9]\d+)\.eml", name) is not None


class Copy:
    """One message in one mailbox.

    places   the mailboxes it may be in, exactly one of which is true; None: it is not there at all
    dates    first and last second that INTERNALDATE may be
    doubtful flags that may be set or not
    name     of its file; None: by names v1, or one of `also`
    shadow   the source of a move on a server that can not expunge one message: there with \\Deleted, or gone
    stale    another client has changed it, and nobody has looked at the mount since
    touched  changed through the mount since the last settle()
    fresh    written through the mount since then: perhaps not on the server yet, and then gone when it is removed
    theirs   another client's: nobody else touches it
    lasting  nobody touches it
    """

    def __init__(self, data, mailbox, flags=(), dates=(0, 0), name=None):
        self.data = data
        self.mid = mid_of(data)
        self.digest = digest_of(data)
        self.places = [mailbox]
        self.flags, self.doubtful = set(flags), set()
        self.dates = dates
        self.name, self.also = name, set()
        self.shadow = self.stale = self.touched = self.fresh = self.theirs = self.lasting = False

    @property
    def certain(self):
        return len(self.places) == 1 and not self.doubtful

    @property
    def mailbox(self):
        return self.places[0]

    def fits(self, held):
        return (held.digest == self.digest and self.dates[0] <= held.date <= self.dates[1]
                and held.flags - self.doubtful == self.flags - self.doubtful)

    def may_be_called(self, shown):
        if self.name is not None:
            return shown.name == self.name
        # Its move may have been asked for after another client had moved it: the name is remembered.
        return shown.name in self.also or shown.name.startswith("ghost-") or is_numbered(shown.name, v1_name(self.data, shown.date, shown.uid))

    def __repr__(self):
        where = " or ".join(str(place) for place in self.places)
        return (f"{self.mid} {self.digest[:6]} in {where} as {self.name} {sorted(self.flags)}"
                + (f" perhaps {sorted(self.doubtful)}" if self.doubtful else "") + f" dated {self.dates[0]}..{self.dates[1]}"
                + (" (shadow)" if self.shadow else "") + (" (theirs)" if self.theirs else ""))


class Model:
    """
    mailboxes     paths as the server means them, components in Unicode
    trash         where removed messages go; None: they are expunged, as they are in the trash and in Junk
    can_expunge   the server has UIDPLUS
    forgetful     mailfs may have forgotten which of the messages that it could not expunge are removed
    undecided     (old, new): a mailbox that may have been renamed; None for one that may have been made or removed
    """

    def __init__(self, mailboxes, trash="Trash", can_expunge=True):
        self.mailboxes = set(mailboxes)
        self.trash = trash
        self.can_expunge = can_expunge
        self.forgetful = False
        self.copies = []
        self.undecided = []
        self.known = set()  # Message-IDs that ever were
        self.unsent = set()  # names of files whose writing was cut off: these may lie about
        self.ghosts = []  # (mailbox, name) that another client has emptied since the last look

    # What was done

    def add(self, copy):
        self.known.add(copy.mid)
        self.copies.append(copy)
        copy.touched = True
        return copy

    def put_shadow(self, copy, mailbox):
        if self.can_expunge:
            return
        shadow = Copy(copy.data, mailbox, copy.flags | {DELETED}, copy.dates)
        shadow.doubtful = set(copy.doubtful)
        shadow.places = [None, mailbox]
        shadow.shadow = True
        self.copies.append(shadow)

    def move(self, copy, mailbox, name, unknown=False):
        source = copy.mailbox
        if mailbox != source:
            self.put_shadow(copy, source)
        if unknown:
            copy.places = [source, mailbox]
            copy.also |= {copy.name, name}
            copy.name = None
        else:
            copy.places, copy.name = [mailbox], name
        copy.touched = True

    def remove(self, copy, unknown=False, trash=True):
        """As rm does. `trash` False: for good, wherever it is."""
        source = copy.mailbox
        target = self.trash if trash and source not in (self.trash, "Junk") else None
        self.put_shadow(copy, source)
        copy.places = [target, *([source] if unknown else []), *([None] if copy.fresh and target else [])]
        copy.also.add(copy.name)
        copy.name = None
        copy.touched = True
        if copy.places == [None]:
            self.copies.remove(copy)

    def replace(self, copy, unknown=False):
        """Another took its name: it is in the trash or gone, and when nobody knows, perhaps still there."""
        source = copy.mailbox
        self.put_shadow(copy, source)
        copy.places = [None, *([self.trash] if self.trash and source not in (self.trash, "Junk") else []), *([source] if unknown else [])]
        copy.also.add(copy.name)
        copy.name = None
        if copy.places == [None]:
            self.copies.remove(copy)

    def flag(self, copy, flags, unknown=False):
        flags = set(flags)
        if unknown:
            copy.doubtful |= copy.flags ^ flags
        else:
            copy.flags = flags
        copy.touched = True

    def rename_mailbox(self, old, new):
        def moved(path):
            return new + path[len(old):] if path is not None and (path == old or path.startswith(old + "/")) else path

        self.mailboxes = {moved(path) for path in self.mailboxes}
        for copy in self.copies:
            copy.places = [moved(path) for path in copy.places]
        self.undecided = [(moved(one), moved(other)) for one, other in self.undecided]

    def loosen_names(self, mailbox=None):
        """An index that was cut short may have forgotten numbers of names; of a mailbox whose renaming was cut short, all
        names. Then they are those of names v1."""
        for copy in self.copies:
            if copy.name and ("~" in copy.name if mailbox is None else
                              any(path and (path == mailbox or path.startswith(mailbox + "/")) for path in copy.places)):
                copy.also.add(copy.name)
                copy.name = None

    # What is there

    def at(self, mailbox):
        """Those that are certainly in a mailbox."""
        return [copy for copy in self.copies if copy.places == [mailbox]]

    def perhaps_at(self, mailbox):
        return [copy for copy in self.copies if mailbox in copy.places]

    def called(self, mailbox, name):
        """Who may be called so."""
        return [copy for copy in self.perhaps_at(mailbox) if not copy.shadow and (copy.name == name or name in copy.also or (
            copy.name is None and is_numbered(name, v1_name(copy.data, copy.dates[0]))))]

    # Comparing

    def decide_mailboxes(self, present):
        while self.undecided:
            old, new = self.undecided.pop(0)
            if old is None and new in present:
                self.mailboxes.add(new)
            elif new is None and old not in present:
                self.mailboxes.discard(old)
            elif old is not None and new is not None and new in present:
                self.rename_mailbox(old, new)
                self.loosen_names(new)

    def compare_server(self, snapshot):
        """Complaints about {mailbox: [Held]}. When there are none, what was undecided is decided."""
        self.decide_mailboxes(set(snapshot))
        complaints = [f"mailbox {path} is missing" for path in sorted(self.mailboxes - set(snapshot))]
        complaints += [f"mailbox {path} should not be" for path in sorted(set(snapshot) - self.mailboxes)]
        copies, held = {}, {}
        for copy in self.copies:
            copies.setdefault(copy.mid, []).append(copy)
        for mailbox, messages in snapshot.items():
            for message in messages:
                held.setdefault(message.mid, []).append((mailbox, message))
        matches = []
        for mid in {**copies, **held}:
            if mid not in self.known:
                complaints.append(f"nobody knows {mid}: {held[mid]}")
                continue
            match = assign(sorted(copies.get(mid, []), key=lambda copy: copy.shadow), held.get(mid, []))
            if match is None:
                complaints.append(explain(mid, copies.get(mid, []), held.get(mid, [])))
            else:
                matches += match
        if not complaints:
            for copy, place, message in matches:
                self.decide(copy, place, message)
        return complaints

    def decide(self, copy, place, message):
        if copy.shadow:
            if place is None:
                self.copies.remove(copy)
            return
        copy.touched = copy.fresh = False
        if place is None:
            self.copies.remove(copy)
            return
        if copy.places != [place]:
            copy.places = [place]
        copy.flags, copy.doubtful = set(message.flags), set()
        copy.dates = (message.date, message.date)

    def compare_tree(self, tree, snapshot, fresh=False):
        """Complaints about {mailbox: [Shown]}, against what the server was just found to hold. `fresh`: the cache was
        empty, so that all names are those of names v1. When there are none, the names are known from now on."""
        complaints = [f"{path}: no directory" for path in sorted(set(snapshot) - set(tree))]
        complaints += [f"{path}: a directory of no mailbox" for path in sorted(set(tree) - set(snapshot))]
        pinned = []
        for mailbox in set(tree) & set(snapshot):
            held = {message.uid: message for message in snapshot[mailbox]}
            complaints += self.complain_of_files(mailbox, tree[mailbox], held, fresh)
            if not complaints:
                complaints += self.pin_names(mailbox, tree[mailbox], held, fresh, pinned)
        if not complaints:
            for copy, name in pinned:
                copy.name, copy.also, copy.stale = name, set(), False
            self.ghosts = []
        return complaints

    def complain_of_files(self, mailbox, files, held, fresh):
        hidden = [message for message in held.values() if self.is_shadow(mailbox, message)]
        complaints = []
        seen = set()
        for shown in files:
            where = f"{mailbox}/{shown.name}"
            if shown.uid is None:
                if shown.name not in self.unsent:
                    complaints.append(f"{where}: is not on the server")
                continue
            want = held.get(shown.uid)
            if want is None or shown.uid in seen:
                complaints.append(f"{where}: UID {shown.uid} is " + ("shown twice" if want else "not on the server"))
                continue
            seen.add(shown.uid)
            if shown.digest != want.digest or shown.size != shown.read:
                complaints.append(f"{where}: {shown.size} octets, {shown.read} read, {shown.digest[:6]}, not {want.digest[:6]}")
            if shown.date != want.date:
                complaints.append(f"{where}: mtime {shown.date}, INTERNALDATE {want.date}")
            if shown.flags != want.flags:
                complaints.append(f"{where}: {sorted(shown.flags)}, the server has {sorted(want.flags)}")
        missing = set(held) - seen - {message.uid for message in hidden}
        complaints += [f"{mailbox}: UID {uid} ({held[uid].mid}) is not shown" for uid in sorted(missing)]
        if not fresh and not self.forgetful:
            complaints += [f"{mailbox}: {held[uid].mid} (UID {uid}) was removed and is shown"
                           for uid in sorted(seen & {message.uid for message in hidden})]
        return complaints

    def is_shadow(self, mailbox, message):
        """A left-over of ours: in no case another client's."""
        return (DELETED in message.flags and any(copy.shadow and mailbox in copy.places and copy.fits(message)
                                                 for copy in self.copies)
                and not any(copy.fits(message) for copy in self.at(mailbox) if not copy.shadow))

    def pin_names(self, mailbox, files, held, fresh, pinned):
        complaints = []
        by_mid = {}
        for shown in sorted((shown for shown in files if shown.uid is not None), key=lambda shown: shown.uid):
            if not self.is_shadow(mailbox, held[shown.uid]):
                by_mid.setdefault((held[shown.uid].mid, shown.digest), []).append(shown)
        for (mid, digest), shown in by_mid.items():
            copies = [copy for copy in self.at(mailbox) if copy.mid == mid and copy.digest == digest and not copy.shadow]
            if fresh:
                for copy in copies:
                    copy.name, copy.also = None, set()
            for order in itertools.permutations(copies, len(shown)):
                if all(copy.may_be_called(file) and copy.flags == file.flags and copy.dates[0] == file.date
                       for copy, file in zip(order, shown)):
                    pinned += [(copy, file.name) for copy, file in zip(order, shown)]
                    break
            else:
                complaints.append(f"{mailbox}: {mid} is called {[file.name for file in shown]}, should be {copies}")
        if fresh and not complaints:
            complaints += complain_of_numbers(mailbox, files, {copy.digest: copy.data for copy in self.copies})
        return complaints


def complain_of_numbers(mailbox, files, bodies):
    """names v1 after an empty cache: x, x~2, x~3 by UID."""
    complaints, counts = [], {}
    for shown in sorted((shown for shown in files if shown.uid is not None), key=lambda shown: shown.uid):
        base = v1_name(bodies[shown.digest], shown.date, shown.uid)
        counts[base] = counts.get(base, 0) + 1
        want = base if counts[base] == 1 else f"{base[:-4]}~{counts[base]}.eml"
        if shown.name != want:
            complaints.append(f"{mailbox}: {shown.name} should be {want}")
    return complaints


def assign(copies, held):
    """[(copy, place, message or None)] such that every copy is in one of its places and every message is a copy; None
    when there is no such way. Shadows come last, and take what is left."""
    if not copies:
        return [] if not held else None
    copy = copies[0]
    for place in copy.places:
        if place is None:
            continue
        for i, (mailbox, message) in enumerate(held):
            if mailbox == place and copy.fits(message):
                rest = assign(copies[1:], held[:i] + held[i + 1:])
                if rest is not None:
                    return [(copy, place, message), *rest]
    if None in copy.places:
        rest = assign(copies[1:], held)
        if rest is not None:
            return [(copy, None, None), *rest]
    return None


def explain(mid, copies, held):
    least = sum(1 for copy in copies if None not in copy.places)
    what = "LOST" if len(held) < least else "DOUBLED" if len(held) > len(copies) else "DIFFERENT"
    there = [f"{mailbox} UID {message.uid} {message.digest[:6]} {sorted(message.flags)} dated {message.date}"
             for mailbox, message in held]
    return f"{what} {mid}: should be {copies}, is {there or 'nowhere'}"
