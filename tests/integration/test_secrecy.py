# SPDX-License-Identifier: BSD-2-Clause
"""What must not be found: segment secrets, the server secret and plaintext, on
disk, in the log and in the memory that a core dump would have; and what others
have in the cache, for whoever has no content information of it."""

import base64
import contextlib
import hashlib
import hmac
import os
import pathlib
import random
import re
import subprocess
import sys

import pytest

import content
import ipc
from conftest import (DEADLINE, OTHER_UID, ROOT, as_uid, needs_root,
                      temporary_folder)
from ipc import data, fixed, u

sys.path.append(str(ROOT / "tests/crash"))

import world  # noqa: E402

BLOCK = content.BLOCK
MISSING_DATA, ACCESS_DENIED, NOT_FOUND = 4052, 5, 1168
KEY = bytes(range(200, 232)) + b"server secret of this test"
MARK = b"\xf7plaintext that nobody may find\xf7"
TAG = b"secret tag".ljust(16, b"\xee")


def marked(rng, size):
    """Bytes that can be told anywhere: the mark in every 64."""
    out = bytearray()
    while len(out) < size:
        out += MARK + rng.randbytes(64 - len(MARK))
    return bytes(out[:size])


def server_kps(octets):
    """The segment secrets of a whole content of one segment, version 1, under
    the key."""
    hod = content.Segment(octets).hod
    ks = hashlib.sha256(KEY).digest()
    yield hmac.new(ks, hod, hashlib.sha256).digest()


def kps_of(info):
    """Those of a content information."""
    if info[:2] == b"\0\1":
        n = int.from_bytes(info[14:18], "little")
        yield from (info[at + 48:at + 80]
                    for at in range(18, 18 + 80 * n, 80))
        return
    at = 31
    while at < len(info):
        length = int.from_bytes(info[at + 1:at + 5], "big")
        for i in range(at + 5, at + 5 + length, 68):
            yield info[i + 36:i + 68]
        at += 5 + length


class Sought:
    """What is looked for, in all its spellings."""

    def __init__(self):
        self.patterns = {}

    def add(self, name, secret, whole=True):
        """whole: also spelled as text."""
        spellings = [secret]
        if whole:
            spellings += [secret.hex().encode(), secret.hex().upper().encode()]
            spellings += [base64.b64encode(bytes(i) + secret)[
                4 if i else 0:-8] for i in range(3)]
        for spelling in spellings:
            self.patterns[spelling] = name

    def find(self, octets):
        """Names and places."""
        for pattern, name in self.patterns.items():
            at = octets.find(pattern)
            while at >= 0:
                yield name, at
                at = octets.find(pattern, at + 1)


def files_of(folder, ignored):
    for root, _, names in os.walk(folder):
        for name in names:
            path = pathlib.Path(root, name)
            if path.is_file() and path not in ignored:
                yield path


ANONYMOUS, SHARED_ANONYMOUS = 1, 2


def kinds_dumped(pid):
    with open(f"/proc/{pid}/coredump_filter", encoding="ascii") as file:
        return int(file.read(), 16)


def kind_of(name, flags):
    """By which bit of the filter a region is dumped, see core(5); what is in
    files is no secret here, but what was changed of it."""
    if name.startswith("/") and "(deleted)" not in name:
        return ANONYMOUS
    return SHARED_ANONYMOUS if "sh" in flags else ANONYMOUS


def dumpable_regions(pid):
    """Start, end, name and kind of what is not kept from dumps by itself."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as lines:
        region = None
        for line in lines:
            if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ "
                                 r"(\d+) *(.*)", line):
                region = (int(match[1], 16), int(match[2], 16),
                          match[5].strip() or "nameless memory")
            elif line.startswith("VmFlags:"):
                flags = set(line.split()[1:])
                if "rd" in flags and not flags & {"dd", "io"}:
                    yield (*region, kind_of(region[2], flags))


def memory_of(pid):
    """Region, kind, address and bytes; most of it was never touched."""
    piece = 1 << 18
    empty = bytes(piece)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, name, kind in dumpable_regions(pid):
            kept, first = b"", start
            for at in range(start, end, piece):
                octets = b""
                with contextlib.suppress(OSError, ValueError):
                    memory.seek(at)
                    octets = memory.read(min(end - at, piece))
                if octets and octets != empty:
                    if not kept:
                        first = at
                    kept += octets
                elif kept:
                    yield name, kind, first, kept
                    kept = b""
            if kept:
                yield name, kind, first, kept


class Scene:
    def __init__(self, path):
        self.place = world.Place(path, DataCache__MaxSize=8 << 20,
                                 Log__Level="debug")
        self.place.state.mkdir()
        self.place.key.write_bytes(KEY)
        self.place.key.chmod(0o600)
        self.rng = random.Random(21)
        self.sought = Sought()
        self.sought.add("server secret", KEY)
        for name, ks in (("Ks of version 1", hashlib.sha256(KEY).digest()),
                         ("Ks of version 2",
                          hashlib.sha512(KEY).digest()[:32])):
            self.sought.add(name, ks)
        self.sought.add("plaintext", MARK, whole=False)
        self.sources = path / "sources"
        self.sources.mkdir()
        self.standing = self.sources / "standing"
        self.standing.write_bytes(marked(self.rng, 2 * BLOCK + 9))
        # That anybody here may read.
        self.ignored = {self.place.key, self.standing}
        self.life = world.Life(self.place)
        self.made = []

    def make(self):
        for i, size in enumerate((1000, 5 * BLOCK + 3, 20 * BLOCK)):
            kp = self.rng.randbytes(32)
            self.sought.add(f"Kp of v1 {i}", kp)
            self.made.append(world.content1(
                f"v1 {i}", marked(self.rng, size), kp))
        for i, lengths in enumerate(([2000], [65536, 131072, 5000] * 6)):
            key = self.rng.randbytes(32)

            def kp_of(piece, key=key, i=i):
                kp = hashlib.sha256(key + piece).digest()
                self.sought.add(f"Kp of v2 {i}", kp)
                return kp

            self.made.append(world.content2(
                f"v2 {i}", marked(self.rng, sum(lengths)), lengths, kp_of))

    def consume(self, client):
        """Adds, reads, gets it wrong, flushes, and has some driven out."""
        for what in self.made:
            handle = client.handle(what, TAG)
            assert client.add(ipc.SUBMIT_DATA_ADD, handle,
                              what.octets) == (0, 0)
            assert None not in client.read_units(what)
            at, length = what.units[-1]
            assert client.add(ipc.SUBMIT_DATA_ADD, handle, bytes(
                b ^ 255 for b in what.unit(-1)), at)[1] == 13
            # Half a block waits for the other half.
            client.add(ipc.SUBMIT_DATA_ADD, handle,
                       what.octets[:length // 2 or 1], 0)
        other = b"another".ljust(16)
        for what in self.made[:2]:
            client.add(ipc.SUBMIT_DATA_ADD, client.handle(what, other),
                       what.octets)
        assert client.flush(other) == 0
        for _ in range(6):
            what = world.content1("more", marked(self.rng, 20 * BLOCK),
                                  self.rng.randbytes(32))
            handle = client.open_content(what.info, other)
            client.add(ipc.SUBMIT_DATA_ADD, handle, what.octets)
            client.code(ipc.CONTENT_CLOSE, fixed(1, handle))

    def publish(self, client):
        octets = marked(self.rng, 3 * BLOCK + 5)
        self.learn("stream", octets, lambda: client.publish(b"stream", octets),
                   client, b"stream")
        path = self.standing
        for versions in (1, 2):
            self.learn("standing", path.read_bytes(),
                       lambda v=versions: client.publish_standing(path, v),
                       client, os.fsencode(str(path)))

    def learn(self, name, octets, publish, client, label):
        """The secrets of a publication, as computed and as told."""
        for kp in server_kps(octets):
            self.sought.add(f"Kp of {name}", kp)
        assert publish() in (0, None)
        for kp in kps_of(client.information(label)):
            self.sought.add(f"Kp of {name}, told", kp)

    def look_into_files(self):
        found = []
        for path in files_of(self.place.path, self.ignored):
            octets = path.read_bytes()
            found += [(name, str(path), at)
                      for name, at in self.sought.find(octets)]
        assert not found, found[:10]

    def in_memory(self, when):
        """What is found in it: name, kind of region, and in words."""
        found = {}
        for region, kind, start, octets in memory_of(self.life.process.pid):
            for name, at in self.sought.find(octets):
                found.setdefault((name, kind, region), []).append(start + at)
        return [(name, kind, f"{name}, {when}: {len(places)} times in "
                 f"{region}, first at {places[0]:#x}")
                for (name, kind, region), places in found.items()]


@pytest.fixture
def scene():
    with temporary_folder() as path:
        made = Scene(path)
        try:
            yield made
        finally:
            made.life.close(quiet=True)


def test_sought_is_found():
    """The search itself."""
    sought = Sought()
    secret = os.urandom(32)
    sought.add("x", secret)
    for octets in (secret, b"ab" + secret + b"c", secret.hex().encode(),
                   base64.b64encode(secret), base64.b64encode(b"1" + secret),
                   base64.b64encode(b"12" + secret + b"34")):
        assert [name for name, _ in sought.find(b"..." + octets)] == ["x"]
    assert list(sought.find(os.urandom(4096))) == []


def test_nothing_on_disk(scene):
    scene.make()
    scene.life.start()
    client = world.Client(scene.place.socket)
    scene.consume(client)
    scene.publish(client)
    scene.look_into_files()
    client.close()
    assert scene.life.stop() == 0
    scene.look_into_files()
    # What was written is ours, and is there.
    assert list(scene.place.cache.glob("*.vol"))


@pytest.fixture(scope="module")
def dump():
    """What is found in the memory that a dump would have, after everything was
    done once."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with temporary_folder() as path:
        scene = Scene(path)
        try:
            yield search_memory(scene)
        finally:
            scene.life.close(quiet=True)


def search_memory(scene):
    scene.make()
    scene.life.start()
    with open(f"/proc/{scene.life.process.pid}/limits",
              encoding="ascii") as file:
        assert re.search(r"Max core file size +0 +0 ", file.read())
    client = world.Client(scene.place.socket)
    # Later frames overwrite what the first ones left.
    client.handle(scene.made[0])
    client.handle(scene.made[2])
    told = scene.in_memory("after the first content information")
    scene.consume(client)
    scene.publish(client)
    assert client.store()["blocks"] > 0
    told += scene.in_memory("with handles open")
    client.close()
    admin = ipc.Client(scene.place.socket, DEADLINE, session=False)
    admin.admin(ipc.ADMIN_STATUS)
    told += scene.in_memory("with handles closed")
    admin.close()
    kinds = kinds_dumped(scene.life.process.pid)
    assert scene.life.stop() == 0
    return kinds, told


def test_no_secret_in_memory(dump):
    """But for where it is locked, excluded from dumps, and wiped."""
    _, found = dump
    told = [text for name, _, text in found if name != "plaintext"]
    assert not told, told


def test_no_plaintext_in_a_core_dump(dump):
    """There is no dump, see the limit; but a debugger can make one."""
    kinds, found = dump
    told = [text for name, kind, text in found
            if name == "plaintext" and kind & kinds]
    assert not told, told


@needs_root
def test_others_get_nothing(scene):
    scene.make()
    scene.life.start()
    owner = world.Client(scene.place.socket)
    for what in scene.made:
        assert owner.add(ipc.SUBMIT_DATA_ADD, owner.handle(what, TAG),
                         what.octets) == (0, 0)
    scene.publish(owner)
    other = world.Client(scene.place.socket, OTHER_UID)
    # True in all but the secret: another segment.
    for what in scene.made[:3]:
        guessed = world.content1(f"not {what.name}", what.octets, os.urandom(32))
        assert other.read_units(guessed) == [None] * len(guessed.units)
        assert None not in owner.read_units(what)
    for label in [b"stream", os.fsencode(str(scene.sources / "standing"))]:
        assert other.information(label) == NOT_FOUND
    # Administration: no number tells that there is something.
    assert other.cache(world.LIST) == {"v": 1, "segments": [], "more": False}
    assert other.published() == {}
    assert other.cache(world.VERIFY) == ACCESS_DENIED
    assert other.cache(world.FLUSH) == ACCESS_DENIED
    assert other.cache(world.FLUSH, data(2, TAG)) in ({"v": 1}, 0)
    for row in owner.published().values():
        for action in (2, 3):
            assert other.ask(world.PUBLISHED_ADMIN, u(1, action) + fixed(
                2, row)) in (NOT_FOUND, ACCESS_DENIED)
    for what in scene.made:
        assert None not in owner.read_units(what)
    check_tool(scene)
    owner.close()
    other.close()


def check_tool(scene):
    """peerdistctl in the hands of another user."""
    ids = [row["id"] for row in scene.place.json("cache", "ls")["segments"]]
    assert ids
    names = [*ids, str(scene.sources), "standing", "stream", TAG.hex()]
    for command in (["cache", "ls"], ["cache", "show"], ["status"],
                    ["published", "ls"], ["sessions"], ["operations"]):
        for form in ([], ["--json"]):
            result = scene.place.ctl(*form, *command, prefix=as_uid(OTHER_UID))
            assert result.code == 0, result.err
            text = result.out + result.err
            assert not [name for name in names if name in text], command


def test_server_secret_stays_in_its_file(scene):
    """Its file is its only copy, and nobody else's to read."""
    scene.life.start()
    assert scene.place.key.stat().st_mode & 0o777 == 0o600
    done = subprocess.run(["grep", "-rlaF", "server secret of this test",
                           str(scene.place.path)], check=False,
                          capture_output=True, text=True)
    assert done.stdout.split() == [str(scene.place.key)]
    assert scene.life.stop() == 0
