# SPDX-License-Identifier: BSD-2-Clause
"""Known contents, a workload on the stores, and a model of what must be there
after an end of any kind.

The model keeps a list of what was begun and what was answered.  Of a block it
knows for each owner (a user's tag) whether the block is surely or perhaps his:
it is surely there when somebody surely has it, and surely not when nobody
perhaps does.  A block is durable when a flush was answered that began after its
add had been answered: a flush answers when it is durable, with all before it.
"""

import hashlib
import os
import pathlib
import random
import select
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent
                       / "integration"))

import content  # noqa: E402
import ipc  # noqa: E402
from conftest import DEADLINE, OTHER_UID, Daemon, Folder  # noqa: E402
from ipc import data, fixed, u  # noqa: E402

BLOCK = content.BLOCK
MISSING_DATA, BAD_DATA, TOO_NEW, NOT_FOUND = 4052, 13, 21, 1168
SUBMIT_STANDING = 42
CACHE_ADMIN, PUBLISHED_ADMIN, PROGRESS = 70, 71, 10
SHOW, LIST, FLUSH, VERIFY, SET_SIZE = range(1, 6)
AT_ONCE = 8
SLOT = 1 << 19
MIB = 1 << 20
# Bytes of a record beside a block's own, generously.
EXTRA = 256


class Place(Folder):
    """A daemon's folder, with both stores in folders of their own below one."""

    def __init__(self, path, **settings):
        super().__init__(path)
        self.root = path / "stores"
        self.root.mkdir(exist_ok=True)
        self.cache = self.root / "cache"
        self.hash = self.root / "hash"
        self.write(**{"DataCache__Directory": self.cache,
                      "HashCache__Directory": self.hash, **settings})


class Ended(Exception):
    """The daemon did before it was ready."""


class Life(Daemon):
    """A daemon that may end before it is ready."""

    def wait_for(self, word):
        end = time.monotonic() + DEADLINE
        pidfd = os.pidfd_open(self.process.pid)
        try:
            while True:
                left = end - time.monotonic()
                ready, _, _ = select.select([self.notify, pidfd], [], [],
                                            max(left, 0))
                if self.notify in ready:
                    lines = self.notify.recv(4096).decode().splitlines()
                    if word in lines:
                        return lines
                elif ready:
                    raise Ended(self.process.wait())
                elif left <= 0:
                    raise AssertionError(f"no {word} in time:\n{self.log()}")
        finally:
            os.close(pidfd)

    def close(self, quiet=False):
        if quiet and self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process = None
        super().close()
        if os.path.exists(self.notify_path):
            os.unlink(self.notify_path)


# Contents.

class Content:
    """Bytes and their description; units are what is stored as one: a block of
    version 1, a segment of version 2.  Equal keys are the same stored block."""

    def __init__(self, name, octets, info, lengths, keys):
        self.name, self.octets, self.info = name, octets, info
        self.units = []
        at = 0
        for length in lengths:
            self.units.append((at, length))
            at += length
        self.keys = [hashlib.sha256(k).digest() for k in keys]

    def unit(self, i):
        at, length = self.units[i]
        return self.octets[at:at + length]


def v1_lengths(size):
    return [min(BLOCK, size - at) for at in range(0, size, BLOCK)]


def content1(name, octets, kp, blocks=None):
    """Version 1; blocks: describes the first ones only."""
    parts = [content.Segment(octets[at:at + content.SEGMENT], at, kp)
             for at in range(0, len(octets), content.SEGMENT)]
    keys = [part.hod + part.kp + i.to_bytes(4, "big") + listed
            for part in parts for i, listed in enumerate(part.blocks)]
    lengths = v1_lengths(len(octets))
    info = content.v1(*parts)
    if blocks is not None:
        info = content.partial(octets, blocks, kp)
        keys, lengths = keys[:blocks], lengths[:blocks]
    return Content(name, octets, info, lengths, keys)


def content2(name, octets, lengths, kp_of):
    """Version 2, cut as told."""
    parts, keys, at = [], [], 0
    for length in lengths:
        piece = octets[at:at + length]
        parts.append(content.description2(piece, kp_of(piece)))
        keys.append(parts[-1])
        at += length
    return Content(name, octets, content.v2(parts), lengths, keys)


def contents(rng, scale=1, long=False):
    """Some of every kind."""
    made = []
    for n in (1, BLOCK, 3 * BLOCK + 777, 9 * BLOCK, 17 * scale * BLOCK + 1):
        octets, kp = rng.randbytes(n), rng.randbytes(32)
        made.append(content1(f"v1 of {n}", octets, kp))
        if n > 2 * BLOCK:
            made.append(content1(f"part of v1 of {n}", octets, kp, 2))
    for n in (1, 5, 24 * scale):
        lengths = [rng.choice((1, 31, 4096, 65536, 131072,
                               rng.randint(1, 131072))) for _ in range(n)]
        # Each its own, however short.
        key = rng.randbytes(32)
        made.append(content2(
            f"v2 of {n}", rng.randbytes(sum(lengths)), lengths,
            lambda piece, key=key: hashlib.sha256(key + piece).digest()))
    if long:
        octets = rng.randbytes(BLOCK) * 512 + rng.randbytes(BLOCK + 5)
        made.append(content1("v1 of two segments", octets,
                             rng.randbytes(32)))
    return made


# A client that keeps several operations going.

class Client(ipc.Client):
    def __init__(self, path, uid=None):
        super().__init__(path, DEADLINE, uid=uid)
        self.handles = {}

    def handle(self, what, tag=bytes(16)):
        if (what.name, tag) not in self.handles:
            self.handles[what.name, tag] = self.open_content(what.info, tag)
        return self.handles[what.name, tag]

    def flush(self, tag):
        number = self.submit(ipc.SUBMIT_FLUSH, data(1, tag))
        return self.result(number)[0]

    def outcomes(self, bodies, kind):
        """Of operations that are submitted together: the fields of their
        COMPLETE, in order.  bodies: (body, True when a slice is in the area)"""
        numbers, found, owed = [], {}, 0
        for body, in_area in bodies:
            numbers.append(self.number())
            owed += in_area
            self.send(kind, numbers[-1], body)
        while len(found) < len(numbers) or owed > 0:
            got, number, fields = self.receive()
            if got == ipc.ACK:
                assert fields.get(1, 0) == 0, fields
            elif got == ipc.RELEASED:
                owed -= 1
            elif got == ipc.COMPLETE:
                found[number] = fields
        return [found[number] for number in numbers]

    def add_many(self, handle, parts):
        """parts: (offset, bytes), at most AT_ONCE of at most SLOT bytes; the
        codes."""
        bodies = []
        for i, (offset, octets) in enumerate(parts):
            bodies.append((fixed(1, handle) + u(2, len(octets)) +
                           u(3, offset) +
                           data(4, self.slice(octets, i * SLOT)),
                           len(octets) > ipc.INLINE_MAX))
        return [fields.get(1, 0)
                for fields in self.outcomes(bodies, ipc.SUBMIT_DATA_ADD)]

    def take(self, fields):
        octets = fields.get(6, b"")
        if 5 in fields:
            where = ipc.decode(fields[5])
            at = where.get(1, 0)
            octets = self.area[at:at + fields.get(2, 0)]
            self.send(ipc.RETURN, 0, fields[5])
        return octets

    def read_units(self, what, also=()):
        """The bytes of each unit, or None; other codes than also are wrong."""
        handle = self.handle(what)
        found = []
        for first in range(0, len(what.units), AT_ONCE):
            some = what.units[first:first + AT_ONCE]
            bodies = [(fixed(1, handle) + u(2, at) + u(3, length), False)
                      for at, length in some]
            for (at, length), fields in zip(some, self.outcomes(
                    bodies, ipc.SUBMIT_BLOCK_READ)):
                code = fields.get(1, 0)
                octets = self.take(fields)
                assert code in (0, MISSING_DATA, *also), code
                if code == 0:
                    assert fields.get(3, 0) == at and len(octets) == length
                found.append(octets if code == 0 else None)
        return found

    def publish_standing(self, path, versions=3):
        """Until the file is old enough."""
        end = time.monotonic() + DEADLINE
        while True:
            with open(path, "rb") as file:
                number = self.submit(
                    SUBMIT_STANDING,
                    data(1, os.fsencode(path)) + u(2, versions),
                    [file.fileno()])
            code = self.result(number)[0]
            if code != TOO_NEW or time.monotonic() > end:
                return code
            select.select([], [], [], 0.05)

    # Administration.

    def ask(self, kind, body):
        """The document, or the code."""
        import json
        text, more = b"", 1
        self.send(kind, 1, body)
        while more:
            got, _, fields = self.receive()
            if got == ipc.REPLY:
                return fields.get(1, 0)
            if got == ipc.ADMIN_TEXT:
                text += fields.get(2, b"")
                more = fields.get(3, 0)
        return json.loads(text)

    def cache(self, action, body=b""):
        return self.ask(CACHE_ADMIN, u(1, action) + body)

    def store(self):
        return self.cache(SHOW)["store"]

    def verify(self, repair=False):
        return self.cache(VERIFY, u(5, int(repair)))

    def published(self):
        """Label -> id, of all."""
        found, after = {}, 0
        while True:
            page = self.ask(PUBLISHED_ADMIN, u(1, 1) + fixed(3, after))
            for row in page["publications"]:
                found[row["path"]] = row["id"]
                after = row["id"]
            if not page["more"]:
                return found


# The model.

class Block:
    def __init__(self):
        self.sure = set()
        self.perhaps = set()
        self.held = False  # surely somebody's, of those who perhaps have it
        self.at = None     # how much had been added before it

    def must(self):
        return bool(self.sure) or self.held


class Model:
    """room: the store's limit, when there may be evictions."""

    def __init__(self, room=None, clock=lambda: 0):
        self.room = room
        self.clock = clock
        self.events = []

    def add(self, kind, *args):
        self.events.append((self.clock(), kind, args))
        return len(self.events) - 1

    def at(self, limit=None):
        """What is known when nothing of after this point of the clock
        happened."""
        state = State(self.room)
        for when, kind, args in self.events:
            if limit is not None and when > limit:
                break
            getattr(state, kind)(*args)
        return state


class State:
    def __init__(self, room):
        self.room = room
        self.blocks = {}
        self.answered = set()  # (key, owner) not yet durable
        self.asked = {}        # label -> set of what may be; the last: what is
        self.added = 0
        self.barrier = set()

    def block(self, key):
        return self.blocks.setdefault(key, Block())

    # Events.

    def adding(self, keys, sizes, owner):
        for key, size in zip(keys, sizes):
            block = self.block(key)
            block.perhaps.add(owner)
            if block.at is None:
                block.at = self.added
            self.added += size + EXTRA

    def did_add(self, keys, owner):
        self.answered.update((key, owner) for key in keys)

    def flushing(self, owner):
        self.barrier = {(key, o) for key, o in self.answered if o != owner}
        self.answered = {(key, o) for key, o in self.answered if o != owner}
        for block in self.blocks.values():
            block.sure.discard(owner)
            if owner in block.perhaps:
                block.held = False

    def flushed(self, owner):
        for block in self.blocks.values():
            block.perhaps.discard(owner)
        self.all_durable(self.barrier)

    def all_durable(self, pairs):
        for key, owner in pairs:
            self.blocks[key].sure.add(owner)
        self.answered = self.answered - pairs

    def shaken(self):
        """A disk did not keep what it had taken, and that was told."""
        self.answered = set()

    def ended_well(self):
        self.all_durable(set(self.answered))

    def restarted(self, present, listed):
        """The keys and the labels that were found."""
        self.answered = set()
        for label, wanted in self.asked.items():
            self.asked[label] = [w for w in wanted
                                 if (w is not None) == (label in listed)]
        for key, block in self.blocks.items():
            if key not in present:
                block.sure.clear()
                block.perhaps.clear()
                block.held, block.at = False, None
            elif not block.sure:
                if len(block.perhaps) == 1:
                    block.sure = set(block.perhaps)
                block.held = True

    def publishing(self, label, what):
        self.asked.setdefault(label, [None]).append(what)

    def did_publish(self, label):
        self.asked[label] = self.asked[label][-1:]

    # Questions.

    def evictable(self, block):
        return self.room is not None and (
            1.6 * (self.added - block.at) + 4 * MIB >= self.room)

    def faults(self, what, found):
        """What is wrong with what was read of a content."""
        for i, (key, octets) in enumerate(zip(what.keys, found)):
            block = self.blocks.get(key) or Block()
            if octets is None:
                if block.must() and not self.evictable(block):
                    yield f"{what.name}: unit {i} is lost"
            elif octets != what.unit(i):
                yield f"{what.name}: unit {i} is WRONG"
            elif not block.perhaps:
                yield f"{what.name}: unit {i} is there again"


# The workload.

class Workload:
    """Steps at random; ends with OSError or EOFError when the daemon does."""

    def __init__(self, rng, model, made, path, files=()):
        self.rng, self.model, self.made = rng, model, made
        self.path, self.files = path, list(files)
        self.users = [None, OTHER_UID] if os.geteuid() == 0 else [None]
        self.clients = {}
        self.tags = [bytes([i]) * 16 for i in range(1, 4)]
        self.done = 0
        self.markers = 0
        steps = {self.add: 46, self.read: 14, self.sync: 14, self.flush: 6,
                 self.add_wrong: 4, self.add_ragged: 6}
        if self.files:
            steps.update({self.publish: 10, self.unpublish: 3})
        self.steps, self.weights = list(steps), list(steps.values())

    def client(self, uid):
        if uid not in self.clients:
            self.clients[uid] = Client(self.path, uid)
        return self.clients[uid]

    def forget(self):
        """After the daemon's end."""
        for client in self.clients.values():
            client.close()
        self.clients.clear()

    def someone(self):
        uid = self.rng.choice(self.users)
        return self.client(uid), (uid, self.rng.choice(self.tags))

    def step(self):
        self.rng.choices(self.steps, self.weights)[0]()
        self.done += 1

    def run(self, n):
        for _ in range(n):
            self.step()

    def ranges(self, what):
        """Some runs of units that can be added together."""
        for _ in range(self.rng.randint(1, AT_ONCE)):
            first = self.rng.randrange(len(what.units))
            last = first
            size = what.units[first][1]
            most = self.rng.randint(1, 10)
            while (last + 1 < len(what.units) and last - first < most and
                   size + what.units[last + 1][1] <= SLOT):
                last += 1
                size += what.units[last][1]
            yield first, last

    def add(self):
        client, owner = self.someone()
        what = self.rng.choice(self.made)
        handle = client.handle(what, owner[1])
        ranges = list(self.ranges(what))
        units = sorted({i for first, last in ranges
                        for i in range(first, last + 1)})
        keys = [what.keys[i] for i in units]
        self.model.add("adding", keys, [what.units[i][1] for i in units],
                       owner)
        codes = client.add_many(handle, [
            (what.units[first][0], what.octets[what.units[first][0]:sum(
                what.units[last])]) for first, last in ranges])
        self.answered(codes, owner, [
            [what.keys[i] for i in range(first, last + 1)]
            for first, last in ranges])

    def answered(self, codes, owner, keys):
        assert set(codes) == {0}, codes
        for some in keys:
            self.model.add("did_add", some, owner)

    def add_ragged(self):
        """From and to the middle of blocks."""
        client, owner = self.someone()
        what = self.rng.choice(self.made)
        described = sum(what.units[-1])
        at = self.rng.randrange(described)
        end = min(described, at + self.rng.randint(1, SLOT))
        units = [i for i, (start, length) in enumerate(what.units)
                 if start < end and start + length > at]
        whole = [i for i in units if what.units[i][0] >= at and
                 sum(what.units[i]) <= end]
        self.model.add("adding", [what.keys[i] for i in units],
                       [what.units[i][1] for i in units], owner)
        code = client.add_many(client.handle(what, owner[1]), [
            (at, what.octets[at:end])])
        self.answered(code, owner, [[what.keys[i] for i in whole]])

    def add_wrong(self):
        client, owner = self.someone()
        what = self.rng.choice(self.made)
        at, length = self.rng.choice(what.units)
        wrong = bytes(b ^ 1 for b in what.octets[at:at + length])
        codes = client.add_many(client.handle(what, owner[1]), [(at, wrong)])
        assert codes == [BAD_DATA], codes

    def read(self):
        client, _ = self.someone()
        what = self.rng.choice(self.made)
        state = self.model.at()
        for i, octets in enumerate(client.read_units(what)):
            assert octets is None or octets == what.unit(i), "wrong bytes"
            block = state.blocks.get(what.keys[i])
            # Answered adds can be read at once.
            if octets is None and block is not None and (
                    block.must() or any(key == what.keys[i] for key, _ in
                                        state.answered)):
                assert state.evictable(block), (what.name, i)
            if octets is not None:
                assert block is not None and block.perhaps, "there again"

    def sync(self):
        """All until now becomes durable."""
        self.markers += 1
        tag = b"marker".ljust(16)
        uid = self.rng.choice(self.users)
        marker = self.rng.randbytes(9)
        what = content2(f"marker {self.markers}", marker, [9],
                        lambda piece: hashlib.sha256(piece).digest())
        client = self.client(uid)
        self.model.add("adding", what.keys, [9], (uid, tag))
        assert client.add_many(client.handle(what, tag), [
            (0, marker)]) == [0]
        self.flush((uid, tag))
        assert client.code(ipc.CONTENT_CLOSE, fixed(
            1, client.handles.pop((what.name, tag)))) == 0

    def flush(self, owner=None):
        if owner is None:
            _, owner = self.someone()
        self.model.add("flushing", owner)
        assert self.client(owner[0]).flush(owner[1]) == 0
        self.model.add("flushed", owner)

    def publish(self):
        path = self.rng.choice(self.files)
        versions = self.rng.choice((1, 2, 3))
        self.model.add("publishing", str(path), versions)
        assert self.client(None).publish_standing(path, versions) == 0
        self.model.add("did_publish", str(path))

    def unpublish(self):
        path = self.rng.choice(self.files)
        self.model.add("publishing", str(path), None)
        code = self.client(None).code(ipc.UNPUBLISH,
                                      data(1, os.fsencode(path)))
        assert code in (0, NOT_FOUND), code
        self.model.add("did_publish", str(path))


# Judgement.

def settled(client, also=("healthy",)):
    """The store's figures once it has indexed all volumes, or is not well."""
    end = time.monotonic() + DEADLINE
    while True:
        store = client.store()
        assert store["health"] in also, store
        if store["rebuild_left"] == 0 or store["health"] != "healthy":
            return store
        assert time.monotonic() < end, store
        select.select([], [], [], 0.01)


def read_all(client, made, also=()):
    """Content -> what was read of each unit."""
    return {what: client.read_units(what, also) for what in made}


def present(found):
    return {key for what, units in found.items()
            for key, octets in zip(what.keys, units) if octets is not None}


DAMAGE = ("rotten", "dangling", "damaged_volumes")


def examine(folder, state, made, damage=DAMAGE):
    """Reads all and compares; the keys and labels that are there.  damage: of
    which verify() may not find any."""
    client = Client(folder.socket)
    try:
        settled(client)
        found = read_all(client, made)
        faults = [fault for what in made
                  for fault in state.faults(what, found[what])]
        listed = client.published() if state.asked else {}
        for label, wanted in state.asked.items():
            is_there = label in listed
            if not any((w is not None) == is_there for w in wanted):
                faults.append(f"{label}: listed {is_there}, not {wanted}")
            info = client.information(os.fsencode(label))
            if isinstance(info, int) == is_there:
                faults.append(f"{label}: {info} although listed {is_there}")
        checked = client.verify()
        if any(checked[name] != 0 for name in damage):
            faults.append(f"verify: {checked}")
        store = client.store()
        if "rotten" in damage and store["rotten"] != 0:
            faults.append(f"rotten: {store}")
        assert not faults, "\n".join(
            faults[:10] + [f"{len(faults)} faults"])
        return present(found), set(listed)
    finally:
        client.close()
