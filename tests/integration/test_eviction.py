# SPDX-License-Identifier: BSD-2-Clause
"""A working set larger than the cache: the limit holds within one volume, and
what is read often stays.  The hit rate is printed beside those of plain LRU and
FIFO of the same size on the same trace."""

import collections
import hashlib
import os
import random
import sys
import time

import pytest

from conftest import ROOT, temporary_folder
from ipc import SUBMIT_BLOCK_READ, fixed, u

sys.path.append(str(ROOT / "tests/crash"))

import world  # noqa: E402

SOAK = os.environ.get("SOAK") == "1"
SAN_SLOWER = 4 if os.environ.get("SAN") else 1
MIB = 1 << 20
LIMIT = 16 * MIB
VOLUME = LIMIT // 16
PIECE = 16 << 10
# What a piece takes in a volume: header, padding of the cipher, tail.
STORED = PIECE + 16 + 160 + 24
PIECES = 4096
LOOK_EVERY = 32


class Lru:
    def __init__(self, room, renew=True):
        self.room, self.renew = room, renew
        self.held = collections.OrderedDict()
        self.hits = 0

    def access(self, key):
        if key in self.held:
            self.hits += 1
            if self.renew:
                self.held.move_to_end(key)
            return
        self.held[key] = True
        if len(self.held) > self.room:
            self.held.popitem(last=False)


def zipf(rng, n, length, s=0.9):
    """Which of n pieces is read, each time; the popular ones lie anywhere."""
    order = list(range(n))
    rng.shuffle(order)
    return [order[i] for i in rng.choices(
        range(n), [1 / (i + 1) ** s for i in range(n)], k=length)]


def with_scans(rng, n, length):
    """As zipf(), and now and then somebody reads a long run."""
    trace = zipf(rng, n, length, 1.1)
    for _ in range(4):
        at, first = rng.randrange(length), rng.randrange(n)
        trace[at:at] = [(first + i) % n for i in range(length // 20)]
    return trace[:length]


class Cache:
    """The daemon's, filled as a reader does it who gets what is missing from
    elsewhere."""

    def __init__(self, place, octets):
        lengths = [PIECE] * (len(octets) // PIECE)
        self.place = place
        self.what = world.content2("all", octets, lengths,
                                   lambda p: hashlib.sha256(p).digest())
        self.client = world.Client(place.socket)
        self.handle = self.client.handle(self.what)
        self.hits = self.count = self.most = 0

    def size(self):
        """Bytes of the files."""
        total = 0
        for entry in os.scandir(self.place.cache):
            if entry.name.endswith((".vol", ".mdb")):
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:
                    pass
        return total

    def access(self, i):
        at, length = self.what.units[i]
        fields, = self.client.outcomes(
            [(fixed(1, self.handle) + u(2, at) + u(3, length), False)],
            SUBMIT_BLOCK_READ)
        octets = self.client.take(fields)
        if fields.get(1, 0) == 0:
            assert octets == self.what.unit(i)
            self.hits += 1
        else:
            assert fields[1] == world.MISSING_DATA
            assert self.client.add_many(
                self.handle, [(at, self.what.unit(i))]) == [0]
        self.count += 1
        if self.count % LOOK_EVERY == 0:
            self.most = max(self.most, self.size())
            assert self.most <= LIMIT + VOLUME, self.count


@pytest.mark.parametrize("make", [zipf, with_scans])
def test_more_than_fits(make, capsys):
    length = 100000 if SOAK else 12000 // SAN_SLOWER
    rng = random.Random(31)
    trace = make(rng, PIECES, length)
    octets = rng.randbytes(PIECES * PIECE)
    lru, fifo = Lru(LIMIT // STORED), Lru(LIMIT // STORED, False)
    with temporary_folder() as path:
        place = world.Place(path, DataCache__MaxSize=LIMIT)
        life = world.Life(place).start()
        try:
            cache = Cache(place, octets)
            began = time.monotonic()
            for i in trace:
                cache.access(i)
                lru.access(i)
                fifo.access(i)
            took = time.monotonic() - began
            store = cache.client.store()
            cache.client.close()
            assert life.stop() == 0
            # Also when all has been written.
            assert cache.size() <= LIMIT + VOLUME
        finally:
            life.close(quiet=True)
    with capsys.disabled():
        print(f"\neviction, {make.__name__}, {length} reads: "
              f"store {cache.hits / length:.1%}, "
              f"LRU {lru.hits / length:.1%}, FIFO {fifo.hits / length:.1%}; "
              f"at most {cache.most / MIB:.1f} of {LIMIT // MIB} MiB, "
              f"{store['evicted']} blocks evicted, {store['carried']} carried "
              f"({took:.1f} s)")
    assert store["evicted"] > 0
    assert cache.hits >= 0.95 * fifo.hits


def test_smaller_limit_takes_effect(capsys):
    """Whoever asks for less room gets it."""
    rng = random.Random(32)
    octets = rng.randbytes(600 * PIECE)
    with temporary_folder() as path:
        place = world.Place(path, DataCache__MaxSize=LIMIT)
        life = world.Life(place).start()
        try:
            cache = Cache(place, octets)
            for i in range(600):
                cache.access(i)
            assert cache.client.store()["evicted"] == 0
            result = place.ctl("cache", "set-size", "data", "4M")
            assert result.code == 0, result.err
            cache.access(0)
            end = time.monotonic() + world.DEADLINE
            while cache.size() > 4 * MIB + VOLUME:
                assert time.monotonic() < end
                cache.client.store()
            assert cache.client.store()["max_bytes"] == 4 * MIB
            cache.client.close()
            assert life.stop() == 0
        finally:
            life.close(quiet=True)
