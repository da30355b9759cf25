# SPDX-License-Identifier: BSD-2-Clause
"""What a disk may hold after the power went: the log of shim.c, and every state
that it allows at a point of it.

What was synced is there.  Of a file's later writes any subset may be, each of
them also in part, sector by sector; a file that grew by a lost write may have
zeros there.  Of the later changes of names the first n are.
"""

import os
import shutil
import struct

(CREATE, OPEN, WRITE, WRITE_SYNC, TRUNCATE, ALLOCATE, SYNC, SYNC_FOLDER,
 RENAME, LINK, UNLINK, MKDIR, MAPPED) = range(1, 14)
HEAD = struct.Struct("<IIQII")
NAMES = (CREATE, RENAME, LINK, UNLINK)
# LMDB keeps nothing in it that outlives its users.
PASSING = "-lock"
CONTROL_SIZE = 64


class Control:
    """Faults of the calls of a daemon under shim.so."""

    READ, WRITE, SYNC, CREATE = range(4)

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(CONTROL_SIZE))

    def _set(self, at, octets):
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(octets)

    def fail(self, kind, error, match=""):
        self._set(32, match.encode().ljust(32, b"\0"))
        self._set(4 * kind, struct.pack("<I", error))

    def heal(self):
        self._set(0, bytes(16))

    def failed(self, kind):
        return struct.unpack_from("<4I", self.path.read_bytes(), 16)[kind]


class Entry:
    def __init__(self, octets, at):
        (self.op, self.serial, self.offset, name,
         size) = HEAD.unpack_from(octets, at)
        at += HEAD.size
        self.path = octets[at:at + name].decode()
        at += name
        self.data = octets[at:at + size]
        self.end = at + size


def entries(path):
    octets = path.read_bytes()
    at = 0
    while at < len(octets):
        entry = Entry(octets, at)
        yield entry
        at = entry.end


def put(octets, offset, data):
    if len(octets) < offset:
        octets.extend(bytes(offset - len(octets)))
    octets[offset:offset + len(data)] = data


def cut(octets, length):
    if len(octets) > length:
        del octets[length:]
    else:
        octets.extend(bytes(length - len(octets)))


class File:
    def __init__(self):
        self.durable = bytearray()
        self.pending = []

    def sync(self):
        for entry in self.pending:
            carry_out(self.durable, entry)
        self.pending.clear()


def carry_out(octets, entry):
    if entry.op == TRUNCATE:
        cut(octets, entry.offset)
    elif entry.op == ALLOCATE:
        cut(octets, max(entry.offset, len(octets)))
    else:
        put(octets, entry.offset, entry.data)


def tear(octets, entry, rng):
    """Some of a write."""
    sector = rng.choice((512, 4096))
    at, end = entry.offset, entry.offset + len(entry.data)
    parts = []
    while at < end:
        stop = min(end, (at // sector + 1) * sector)
        parts.append((at, stop))
        at = stop
    how = rng.randrange(3)
    n = rng.randrange(len(parts) + 1)
    if how == 0:
        kept = parts[:n]
    elif how == 1:
        kept = parts[n:]
    else:
        kept = [part for part in parts if rng.random() < 0.5]
    for at, stop in kept:
        put(octets, at, entry.data[at - entry.offset:stop - entry.offset])
    if rng.random() < 0.5:
        cut(octets, max(end, len(octets)))


class Disk:
    """The state after the entries that were given to it."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        self.names = {}
        self.changes = []

    def rename_all(self, names, changes):
        for entry in changes:
            if entry.op == CREATE:
                names[entry.path] = entry.serial
            elif entry.op == UNLINK:
                names.pop(entry.path, None)
            elif entry.path in names:
                to = entry.data.decode()
                names[to] = names[entry.path]
                if entry.op == RENAME:
                    del names[entry.path]

    def apply(self, entry):
        if entry.op in NAMES:
            self.changes.append(entry)
        if entry.op == SYNC_FOLDER:
            kept = [e for e in self.changes
                    if os.path.dirname(e.path) != entry.path]
            self.rename_all(self.names, [e for e in self.changes
                                         if e not in kept])
            self.changes = kept
        if entry.serial == 0:
            return
        file = self.files.setdefault(entry.serial, File())
        if entry.op in (WRITE, TRUNCATE, ALLOCATE):
            file.pending.append(entry)
        elif entry.op == WRITE_SYNC:
            put(file.durable, entry.offset, entry.data)
            # Others may still undo it: they are carried out in order.
            file.pending.append(entry)
        elif entry.op == SYNC:
            file.sync()
        elif entry.op == MAPPED and not entry.path.endswith(PASSING):
            raise AssertionError(f"{entry.path} is written through a mapping")

    def contents(self, file, rng, mood):
        octets = bytearray(file.durable)
        for entry in file.pending:
            if entry.op == WRITE_SYNC or mood == "all":
                carry_out(octets, entry)
            elif mood == "some":
                how = rng.randrange(3)
                if how == 0:
                    carry_out(octets, entry)
                elif how == 1 and entry.op == WRITE:
                    tear(octets, entry, rng)
        return octets

    def state(self, rng):
        """Path -> bytes: one that may be found."""
        names = dict(self.names)
        n = rng.choice((0, len(self.changes),
                        rng.randint(0, len(self.changes))))
        self.rename_all(names, self.changes[:n])
        mood = rng.choice(("none", "all", "some", "some", "some"))
        return {path: self.contents(self.files[serial], rng, mood)
                for path, serial in names.items()
                if not path.endswith(PASSING)}

    def write(self, state):
        """In place of what is below the root."""
        for entry in os.scandir(self.root):
            shutil.rmtree(entry.path)
        for path, octets in state.items():
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(path, "wb") as file:
                file.write(octets)
            os.chmod(path, 0o600)
