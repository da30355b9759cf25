# SPDX-License-Identifier: BSD-2-Clause
"""A web server in a storm: clients that ask in every way, read slowly, break
off and ask much at once; downloads through the daemons of a branch; files that
are replaced, touched, cut, grown, removed, renamed, folders that change places;
publications that come and go, other server secrets, other settings, a server
that is switched off and on, caches that are flushed, daemons that stand still.

Every answer must be right at some moment between its request and its end: a
version of that file which was there then, of a root that was set, described
with a secret that was valid.  What is so at which time is written down by who
changes it.  When it is over, nothing of it is left.

SOAK=1 storms twice for a twelfth of $MINUTES (by default 60), with another seed
each time; it is printed, and SEED=n plays that one.  What happens when still
depends on the machine, since a step of the storm waits for what clients do.
"""

import collections
import contextlib
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import types

import pytest

from conftest import DEADLINE
from described import Described, version_of
from getting import FAILED, NETWORK, OK, hosts
from http_client import Closed, Link, multipart
from pace import Clock, Stopwatch
from scene import SAN
from test_web_changes import exchange
from website import (ASK, ASK_2, EX, KEY, OLD, VERSION_2, encoded, makes_hash,
                     site_of, wait_until)

SOAK = os.environ.get("SOAK") == "1"
SEED = int(os.environ.get("SEED") or (time.time_ns() % 10**9 if SOAK else 7))
# The item has an hour, for other tests as well.
SECONDS = (min(5 * int(os.environ.get("MINUTES") or 60), 600) if SOAK else
           15 if SAN else 6)
CLIENTS, DOWNLOADS = 6, 2
WILD, STABLE = 8, 4
PAGE = 4096
# No version is smaller, so that most ranges are inside.
LEAST = 17 * PAGE
SIZES = (LEAST + 1, 90000, 200000, 300000, 700000)
ROOM = 100000  # to grow
BIG = 6 << 20
MIN_SIZES = {"64K": 64 << 10, "150K": 150 << 10, "1M": 1 << 20}
# The longest that the witness waits for an answer.
LATE_S = 10 if SAN else 3
# Memory that may be more at the end than in the first half; allocators keep
# some, and a short storm has not seen all yet.
GROWTH_MOST = (400 if SAN else 32) << 20
KEPT_MOST = 64  # connections to peers, for later
# What has to happen in a storm; on a slow machine it lasts until it has.
KINDS = (200, 206, 304, 404, 412, 416, "encoded", "downloaded", "slowly",
         "several", "leave", "leave_early")
HASH = (*ASK_2[:2], EX.format("1.0", "2.0") + ", HashRequest=true")
MISSING = (VERSION_2 + ", MissingDataRequest=true",)


# What was so when.

class Line:
    """Values one after the other; each from before it was made until after the
    next one was."""

    def __init__(self, value):
        self.spans = [[0, float("inf"), value]]

    @property
    def now(self):
        return self.spans[-1][2]

    def begin(self, value):
        self.spans.append([time.monotonic(), float("inf"), value])

    def done(self):
        self.spans[-2][1] = time.monotonic()

    def during(self, begin, end):
        found = []
        for since, until, value in self.spans:
            if since <= end and until >= begin and value not in found:
                found.append(value)
        return found


class Stream:
    """Bytes of which each version of a file is a beginning."""

    def __init__(self, rng, size):
        self.octets = rng.randbytes(size + ROOM)
        self.cuts = []  # when it was cut in place, and to what

    def lowest_cut(self, begin, end):
        return min((size for since, until, size in self.cuts
                    if since <= end and until >= begin), default=None)


class Version:
    def __init__(self, stream, size):
        self.stream, self.size = stream, size
        self.octets = stream.octets[:size]
        self.described = {}
        self.cuts = None
        self.lock = threading.Lock()

    def check(self, answer, said, span, key):
        """That it is this one's content information under that key.  How
        version 2 cuts it is known when all of it was seen once."""
        with self.lock:
            made = self.described.get(key)
            if made is None:
                made = self.described[key] = Described(self.octets, key)
            version = version_of(answer.body)
            if version == 2 and made.cuts is None:
                if self.cuts is not None:
                    # They are the content's, whatever the key is.
                    made.learn(b"\0\2\4" + bytes(33) + b"".join(
                        struct.pack(">I64x", b - a)
                        for a, b in zip(self.cuts, self.cuts[1:])))
                elif span is not None:
                    return
            first, length = span or (None, None)
            encoded(answer, types.SimpleNamespace(
                octets=self.octets, described=made), version, said, first,
                length)
            self.cuts = made.cuts or self.cuts


class State(collections.namedtuple("State", "version etag")):
    """Of a name.  version None: it is not there; etag None: at some point of a
    change."""


def tag_of(path):
    st = os.stat(path)
    return f'"{st.st_mtime_ns:x}-{st.st_size:x}-{st.st_ctime_ns:x}"'


NOTHING = State(None, None)


class Tree:
    """A root and the history of its names."""

    def __init__(self, path, rng):
        self.path, self.rng = path, rng
        self.lines = {}
        self.lock = threading.Lock()
        for folder in ("a", "b", "d0", "d1", "stable"):
            (path / folder).mkdir(parents=True)
        self.wild = [f"{folder}/{i}" for i in range(WILD)
                     for folder in ("a", "b")]
        for name in (*self.wild, "d0/x", "d1/x", "witness",
                     *(f"stable/{i}" for i in range(STABLE))):
            self.put(name, rng.choice(SIZES))
        self.put("big", BIG)
        for name in ("link0", "link1"):
            self.relink(name)

    @property
    def names(self):
        return [name for name in self.lines if name != "witness"]

    def at(self, name):
        return self.line(name).now

    def line(self, name):
        return self.lines.setdefault(name, Line(NOTHING))

    @contextlib.contextmanager
    def changing(self, *names, version, between=()):
        """One name becomes that version, others go.  A look in the middle may
        find old bytes with new times, and the reverse, or what is between."""
        with self.lock:
            lines = [self.line(name) for name in names]
            olds = [line.now for line in lines]
            for line in lines:
                line.begin(NOTHING)
            yield
            etag = version and tag_of(self.path / names[0])
            for line, old in zip(lines, olds):
                now = State(version, etag) if line is lines[0] else NOTHING
                line.spans[-1][2] = now
                line.done()
                since, until = line.spans[-1][0], line.spans[-2][1]
                for each in {old.version, now.version, *between} - {None}:
                    line.spans.insert(-1, [since, until, State(each, None)])

    def put(self, name, size):
        """In place of what is there."""
        version = Version(Stream(self.rng, size), size)
        new = self.path / "new"
        new.write_bytes(version.octets)
        if self.rng.random() < 0.5:
            os.utime(new, (OLD, OLD))
        with self.changing(name, version=version):
            new.rename(self.path / name)

    def some(self, rng=None):
        """One that is changed often, or seldom."""
        return self.wild[min(int((rng or self.rng).expovariate(0.4)),
                             len(self.wild) - 1)]

    def there(self):
        name = self.some()
        if self.at(name).version is None:
            self.put(name, self.rng.choice(SIZES))
        return name, self.at(name).version

    # Steps.

    def replace(self):
        self.put(self.rng.choice((*[self.some()] * 9, "big")),
                 self.rng.choice(SIZES))

    def touch(self):
        name, version = self.there()
        with self.changing(name, version=version):
            os.utime(self.path / name,
                     self.rng.choice((None, (OLD, OLD))))

    def cut(self):
        """In place, to whole pages: what is under way of others is not
        cleaned."""
        name, old = self.there()
        size = self.rng.randrange(LEAST, old.size + 1, PAGE)
        with self.changing(name, version=Version(old.stream, size)):
            begin = time.monotonic()
            old.stream.cuts.append((begin, float("inf"), size))
            os.truncate(self.path / name, size)
            old.stream.cuts[-1] = begin, time.monotonic(), size

    def grow(self):
        """In place, by what it had there before if it was cut."""
        name, old = self.there()
        size = min(old.size + self.rng.randint(1, 5000),
                   len(old.stream.octets))
        # The kernel may tell the size after each page.
        between = [Version(old.stream, n) for n in
                   range(old.size // PAGE * PAGE + PAGE, size, PAGE)]
        with self.changing(name, version=Version(old.stream, size),
                           between=between):
            with open(self.path / name, "ab", buffering=0) as out:
                out.write(old.stream.octets[old.size:size])

    def remove(self):
        name, _ = self.there()
        with self.changing(name, version=None):
            (self.path / name).unlink()

    def move(self):
        """Into the other folder, over what is there."""
        name, version = self.there()
        other = ("b" if name[0] == "a" else "a") + name[1:]
        with self.changing(other, name, version=version):
            (self.path / name).rename(self.path / other)

    def exchange(self):
        """Two folders change places, and nothing else changes."""
        one, other = self.line("d0/x"), self.line("d1/x")
        with self.lock:
            values = one.now, other.now
            one.begin(values[1])
            other.begin(values[0])
            exchange(self.path / "d0", self.path / "d1")
            one.done()
            other.done()

    def relink(self, name=None):
        """A name leads to another file, which stays as it is."""
        name = name or self.rng.choice(("link0", "link1"))
        target = f"stable/{self.rng.randrange(STABLE)}"
        new = self.path / "new"
        new.symlink_to(target)
        with self.lock:
            line = self.line(name)
            line.begin(self.at(target))
            new.rename(self.path / name)
            line.done()


# Requests.

class Asked:
    def __init__(self, name, rng, tags=()):
        self.name = name
        self.method = "HEAD" if rng.random() < 0.1 else "GET"
        self.kind = rng.choice(("plain", 1, 2, 2, "hash", "missing"))
        self.ranges = []
        self.condition = self.tag = None
        turn = rng.random()
        if turn < 0.3 or self.kind == "missing":
            self.ranges = [rng.choice(((0, 4095), (5, 9), (30000, 60000),
                                       (1, 65535), (40000, 900000)))]
        elif turn < 0.4:
            at = rng.randrange(1000)
            self.ranges = [(at, at + 10), (at + 2000, at + 9000),
                           (20000, 40000)][:rng.randint(2, 3)]
        elif turn < 0.45:
            self.ranges = [(1 << 40, None)]
        if tags and rng.random() < 0.2:
            self.condition = rng.choice(("If-None-Match", "If-Match",
                                         "If-Range"))
            self.tag = rng.choice(tags)

    @property
    def fields(self):
        found = list({"plain": (), "hash": HASH, "missing": MISSING}.get(
            self.kind) if isinstance(self.kind, str) else ASK[self.kind])
        if self.ranges:
            found.append("Range: bytes=" + ",".join(
                f"{a}-{'' if b is None else b}" for a, b in self.ranges))
        if self.condition:
            found.append(f"{self.condition}: {self.tag}")
        return found

    def octets(self, link):
        return link.request("/" + self.name, *self.fields, method=self.method)

    def spans(self, etag, size):
        """Offset and length of what is wanted of a file; None: all of it."""
        if self.method == "HEAD" or not self.ranges or (
                self.condition == "If-Range" and self.tag != etag):
            return None
        found = [(a, min(size, size if b is None else b + 1) - a)
                 for a, b in self.ranges if a < size]
        return None if sum(n for _, n in found) > size else found

    def __repr__(self):
        return f"<{self.method} {self.name} {self.fields}>"


def explain(asked, answer, state, least, keys, begin, end):
    """That the answer is right for what may have been so.  end: when all of it
    was there."""
    version, etag = state
    if version is None:
        assert answer.status == 404
        return
    size = version.size
    if etag is None:
        etag = answer.etag
        assert etag is None or f"-{size:x}-" in etag, "size"
    if asked.condition == "If-Match" and etag != asked.tag:
        assert answer.status == 412
        return
    assert answer.status != 412 or etag is None
    if answer.status == 412:
        return
    if asked.condition == "If-None-Match" and etag == asked.tag:
        assert answer.status == 304
        assert answer.etag == etag
        return
    spans = asked.spans(etag, size)
    if spans == []:
        assert answer.status == 416
        assert answer.get("Content-Range") == f"bytes */{size}"
        return
    assert answer.etag == etag, f"the tag was {etag}"
    assert answer.status == (206 if spans else 200)
    assert (answer.get("Vary") is not None) == (size > least)
    if answer.is_encoded:
        assert asked.kind in (1, 2, "hash") and asked.method == "GET"
        assert size > least, "so small a one"
        described(asked, answer, version, spans, keys)
        return
    if makes_hash(answer):
        assert asked.kind == 2 and size > least
    if asked.method == "HEAD":
        assert answer.length == size
    elif spans is not None and len(spans) > 1:
        parts = multipart(answer) if not answer.cut else ()
        for (at, length), part in zip(spans, parts, strict=bool(parts)):
            assert part[1:4] == (at, at + length - 1, size)
            same(part[4], version, at, begin, end)
    else:
        at, length = spans[0] if spans else (0, size)
        assert answer.length == length
        assert not spans or answer.get("Content-Range") == (
            f"bytes {at}-{at + length - 1}/{size}")
        same(answer.body, version, at, begin, end)


def same(octets, version, at, begin, end):
    """Behind where it was cut meanwhile there may be anything."""
    low = version.stream.lowest_cut(begin, end)
    if low is not None:
        octets = octets[:max(low - at, 0)]
    assert octets == version.octets[at:at + len(octets)], "other bytes"


def described(asked, answer, version, spans, keys):
    span = spans[0] if spans else None
    assert spans is None or len(spans) == 1 and span[1] >= 2048
    assert answer.cut == 0
    said = "1.0" if asked.kind == 1 else "1.1"
    faults = []
    for key in keys:
        try:
            version.check(answer, said, span, key)
            return
        except AssertionError:
            faults.append(traceback.format_exc(limit=-2))
    raise AssertionError("\n".join(faults))


# Clients.

class Guest(threading.Thread):
    """Does something again and again, until the end."""

    def __init__(self, storm, seed):
        super().__init__(daemon=True)
        self.storm = storm
        self.rng = random.Random(seed)
        self.fault = None
        self.done = collections.Counter()

    def run(self):
        while not self.storm.is_over:
            try:
                if self.storm.on.wait(DEADLINE):
                    self.act()
                self.storm.clock.tick()
            except BaseException:  # told by check()
                self.fault = traceback.format_exc()
                break
        self.end()

    def end(self):
        pass


class Visitor(Guest):
    """By HTTP."""

    def __init__(self, storm, seed, source=None):
        super().__init__(storm, seed)
        self.source = source
        self.link = None
        self.born = 0
        self.tags = []

    def connect(self, **kwargs):
        self.drop()
        self.born = time.monotonic()
        self.link = Link(self.storm.site.address, DEADLINE,
                         source=self.source, **kwargs)

    def drop(self, reset=False):
        if self.link is None:
            return
        if reset:
            self.link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        struct.pack("ii", 1, 0))
        self.link.close()
        self.link = None

    end = drop

    def asked(self):
        tree = self.storm.trees[0]
        return Asked(self.rng.choice((
            self.rng.choice(tree.names), tree.some(self.rng), "link0", "link1",
            "d0/x", "d1/x")), self.rng, self.tags)

    def judge(self, asked, answer, begin):
        if answer.etag is not None:
            self.tags = [*self.tags[-9:], answer.etag]
        self.done["encoded" if answer.is_encoded else answer.status] += 1
        self.storm.judge(asked, answer, begin, self.born)
        if answer.cut or not answer.keeps:
            self.drop()

    def one(self):
        asked = self.asked()
        begin = time.monotonic()
        self.link.raw(asked.octets(self.link))
        self.judge(asked, self.link.receive(asked.method), begin)

    def several(self):
        all_of_them = [self.asked() for _ in range(self.rng.randint(2, 8))]
        begin = time.monotonic()
        self.link.raw(b"".join(asked.octets(self.link)
                               for asked in all_of_them))
        for asked in all_of_them:
            self.judge(asked, self.link.receive(asked.method), begin)
            if self.link is None:
                break

    def half(self):
        """An answer whose head has come; little lies between."""
        self.connect(room=4096)
        asked = self.asked()
        if self.rng.random() < 0.6:
            asked.name = "big"
        begin = time.monotonic()
        self.link.raw(asked.octets(self.link))
        return asked, self.link.head(), begin

    def slowly(self):
        asked, answer, begin = self.half()
        link, take, parts = self.link, self.link.take, []

        def some(size):
            while size > 0:
                step = min(size, self.rng.choice((5000, 300000)))
                parts.append(take(step))
                size -= len(parts[-1])
                if len(parts[-1]) < step:
                    break
                if len(parts) < 10 and not self.storm.is_over:
                    self.storm.clock.wait(1)
            return b"".join(parts)
        link.take = some
        link.body(answer, asked.method)
        self.judge(asked, answer, begin)
        self.drop()

    def leave(self):
        """In the middle of an answer."""
        asked, answer, _ = self.half()
        if asked.method == "GET" and answer.status != 304:
            self.link.take(self.rng.randrange(1 + answer.length))
        self.drop(reset=self.rng.random() < 0.5)

    def leave_early(self):
        """In the middle of requests, or behind them."""
        octets = b"".join(self.asked().octets(self.link)
                          for _ in range(self.rng.randint(1, 5)))
        self.link.raw(octets[:self.rng.choice(
            (len(octets), self.rng.randrange(len(octets))))])
        self.drop(reset=self.rng.random() < 0.5)

    def act(self):
        act = self.rng.choices(
            (self.one, self.several, self.slowly, self.leave,
             self.leave_early), (10, 4, 2, 2, 2))[0]
        try:
            if self.link is None:
                self.connect()
            act()
            self.done[act.__name__] += 1
        except (Closed, OSError):
            if not self.storm.was_off(self.born):
                raise
            self.drop()


class Witness(Visitor):
    """Asks for a file that nobody touches, from an address of its own."""
    slowest = 0

    def act(self):
        asked = self.asked()
        asked.name = "witness"
        begin = time.monotonic()
        watch = Stopwatch(self.storm.site.daemon.process.pid)
        try:
            if self.link is None:
                self.connect()
            self.link.raw(asked.octets(self.link))
            self.judge(asked, self.link.receive(asked.method), begin)
            self.slowest = max(self.slowest, watch.read())
            assert self.slowest < LATE_S, self.slowest
            self.done["one"] += 1
        except (Closed, OSError):
            if not self.storm.was_off(self.born):
                raise
            self.drop()


class Downloader(Guest):
    """With peerdist-get on a host of the branch."""

    def __init__(self, storm, seed, host):
        super().__init__(storm, seed)
        self.host = host

    def act(self):
        storm = self.storm
        name = self.rng.choice((self.rng.choice(storm.trees[0].names),
                                "link0", "stable/0", "d0/x"))
        host, port = storm.site.address
        begin = time.monotonic()
        running = self.host.begin(
            f"http://{host}:{port}/{name}", "--wait",
            self.rng.choice(("0", "200ms")))
        leaves = self.rng.random() < 0.15
        if leaves:
            storm.clock.wait(1)
            running.signal(self.rng.choice((signal.SIGINT, signal.SIGKILL)))
        got = running.end()
        states = storm.states(name, begin, time.monotonic())
        versions = {state.version for _, state in states} - {None}
        if got.octets is not None:
            assert any(got.octets == v.octets for v in versions), (
                f"{name}: {len(got.octets)} bytes of no version: {got.out}, "
                f"{[(v.size, v.stream.cuts) for v in versions]}")
            self.done["downloaded"] += 1
            if got.code == OK:
                cache, peers, origin = got.by
                self.done.update(cache=cache, peers=peers, origin=origin)
        elif not leaves:
            assert got.code in (FAILED, NETWORK), got.err
            assert storm.was_off(begin) or len(versions) > 1 or any(
                state.version is None for _, state in states), got.err
            self.done["failed"] += 1
        assert leaves or (got.code == OK) == (got.octets is not None)
        shutil.rmtree(running.path.parent)


# The storm.

def where(thread):
    """What a thread is just doing."""
    frame = sys._current_frames().get(thread.ident)
    return "".join(traceback.format_stack(frame))


class Storm:
    def __init__(self, site, branch, seconds, seed):
        self.site, self.branch = site, branch
        self.rng = random.Random(seed)
        self.clock = Clock()
        self.is_over = False
        self.on = threading.Event()
        self.frozen = None
        self.off = Line(False)
        self.keys = Line(KEY)
        self.setting = Line((0, MIN_SIZES["64K"]))
        self.done = collections.Counter()
        self.trees = [Tree(path, random.Random(f"{seed}.{path.name}"))
                      for path in (site.root / "one", site.root / "two")]
        site.folder.write(Web__Root=self.trees[0].path)
        site.daemon.reload()
        site.settle()
        self.publish_all()
        self.warm()
        self.before = lasting(site.daemon)
        self.branch_before = [lasting(h.daemon) for h in branch]
        self.began = time.monotonic()
        self.last = self.began + seconds
        self.witness = Witness(self, f"{seed}.w", "127.0.0.9")
        self.guests = [self.witness]
        self.guests += [Visitor(self, f"{seed}.v{i}") for i in range(CLIENTS)]
        self.guests += [Downloader(self, f"{seed}.d{i}", host) for i, host in
                        enumerate(branch * (DOWNLOADS // len(branch)))]

    def publish_all(self):
        for tree in self.trees:
            assert self.site.folder.ctl(
                "publish", "-r", tree.path).code in (0, 1)

    def warm(self):
        """What is opened once and stays."""
        for host in self.branch:
            got = host.get("http://{}:{}/big".format(*self.site.address))
            assert got.code == OK, got.err
        wait_until(lambda: self.site.web["server"]["connections"] == 0,
                   "no connection")

    # Judging.

    def was_off(self, since):
        return True in self.off.during(since, time.monotonic())

    def states(self, name, begin, end):
        """What may have been so, and up to which size files are plain.  That
        is looked at when the file is open, and may be newer than its root."""
        found = []
        settings = self.setting.during(begin, end)
        for root in {root for root, _ in settings}:
            tree = self.trees[root]
            with tree.lock:
                states = tree.line(name).during(begin, end)
            found += [(least, state) for state in states
                      for least in {least for _, least in settings}]
        return found

    def judge(self, asked, answer, begin, born):
        end = time.monotonic()
        states = self.states(asked.name, begin, end)
        keys = self.keys.during(begin, end)
        if answer.cut and not self.was_off(born):
            states = [s for s in states if s[1].version and
                      s[1].version.stream.lowest_cut(begin, end) is not None]
            assert states, f"{asked}: {answer.cut} bytes too few: {answer}"
        faults = []
        for least, state in states:
            try:
                explain(asked, answer, state, least, keys, begin, end)
                return
            except AssertionError:
                version = state.version
                faults.append(f"{least} {version and version.size} "
                              f"{state.etag}: {traceback.format_exc(limit=-2)}")
        raise AssertionError(f"{asked}: {answer}\n" + "\n".join(faults))

    # Steps.

    def tell(self, *words):
        print(f"{time.monotonic() - self.began:8.3f}", *words, flush=True)

    def rest(self, most=8):
        """Others go on."""
        self.clock.wait(self.rng.randint(1, most))

    def file(self):
        """Something happens to one."""
        tree = self.trees[self.rng.random() < 0.2]
        step = self.rng.choices(
            (tree.replace, tree.touch, tree.cut, tree.grow, tree.remove,
             tree.move, tree.exchange, tree.relink),
            (4, 3, 3, 3, 2, 2, 4, 6))[0]
        step()
        self.done[step.__name__] += 1

    def publish(self):
        """Files may be too new, or there no more."""
        tree = self.trees[self.setting.now[0]]
        self.site.folder.ctl("publish", *(
            tree.path / name for name in self.rng.sample(tree.names, 4)),
            "--version", self.rng.choice(("1", "2", "both")))

    def unpublish(self):
        rows = self.site.folder.json("published", "ls")["publications"]
        for row in self.rng.sample(rows, min(len(rows), 6)):
            self.site.folder.ctl("unpublish", row["id"])

    def secret(self):
        text = f"secret {self.rng.random()}"
        path = self.site.folder.path / "passphrase"
        path.write_text(text)
        self.tell("secret")
        self.keys.begin(text.encode("utf-16-le"))
        result = self.site.folder.ctl("--yes", "secret", "set",
                                      "--passphrase-file", path)
        assert result.code == 0, result.err
        self.keys.done()

    def set(self, root, name):
        self.tell("settings", root, name)
        self.setting.begin((root, MIN_SIZES[name]))
        self.site.folder.write(Web__Root=self.trees[root].path,
                               Web__MinSize=name)
        self.site.daemon.reload()
        self.setting.done()

    def cool(self):
        """The disk has to be asked."""
        for name in ("big", "witness", "stable/0", "d0/x", "a/0"):
            with contextlib.suppress(FileNotFoundError), open(
                    self.trees[self.setting.now[0]].path / name, "rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def settings(self):
        self.set(self.rng.choice((0, 0, 1)), self.rng.choice(list(MIN_SIZES)))

    def crowd(self):
        """Some whose files and hashes come from the disk."""
        self.secret()
        self.cool()
        crowd = [Link(self.site.address, DEADLINE) for _ in range(24)]
        for i, link in enumerate(crowd):
            link.send("/" + self.rng.choice((
                "big", f"stable/{i % STABLE}", "d0/x", "a/0", "link0")),
                *self.rng.choice((ASK_2, ASK_2, ())))
        return crowd

    def switch(self):
        self.tell("off")
        self.on.clear()
        self.off.begin(True)
        self.site.folder.write(Web__Listen="off")
        crowd = self.crowd()
        self.site.daemon.reload()
        for link in crowd:
            link.close()
        assert self.site.web["server"]["connections"] == 0
        self.site.folder.write(Web__Listen="127.0.0.1:0")
        self.site.daemon.reload()
        self.site.find()
        self.off.begin(False)
        self.off.done()
        self.on.set()

    def flush(self):
        host = self.rng.choice((self.site, *self.branch))
        if host is not self.frozen:
            assert host.folder.ctl("--yes", "cache", "flush").code == 0

    def freeze(self):
        """A host of the branch stands still, or goes on."""
        if self.frozen is None:
            self.frozen = self.rng.choice(self.branch)
            self.tell("stop", self.frozen.path.name)
            self.frozen.daemon.signal(signal.SIGSTOP)
        else:
            self.frozen.daemon.signal(signal.SIGCONT)
            self.frozen = None

    def blow(self):
        self.on.set()
        for guest in self.guests:
            guest.start()
        middle, most = (self.began + self.last) / 2, 0
        while not self.is_enough() and not self.faults:
            step = self.rng.choices(
                (self.file, self.publish, self.unpublish, self.secret,
                 self.settings, self.switch, self.flush, self.cool,
                 self.freeze),
                (60, 3, 3, 2, 3, 4, 1, 6, 12 if self.frozen else 1))[0]
            self.done[step.__name__] += 1
            step()
            self.rest()
            if time.monotonic() < middle or not most:
                most = max(most, memory(self.site.daemon))
        self.is_over = True
        if self.frozen:
            self.freeze()
        for guest in self.guests:
            guest.join(3 * DEADLINE)
            assert not guest.is_alive(), f"{guest} hangs: {where(guest)}"
        assert not self.faults, "\n".join(self.faults)
        return most

    def is_enough(self):
        over = time.monotonic() - self.last
        return over > 0 and (over > 3 * DEADLINE or all(
            any(guest.done[kind] for guest in self.guests) for kind in KINDS))

    @property
    def faults(self):
        died = [f"{one.folder.path} died" for one in
                (self.site.daemon, *(h.daemon for h in self.branch))
                if one.process.poll() is not None]
        return died + [guest.fault for guest in self.guests if guest.fault]


# What is left.

def memory(daemon):
    with open(f"/proc/{daemon.process.pid}/status",
              encoding="ascii") as file:
        return int(re.search(r"RssAnon:\s+(\d+)", file.read())[1]) << 10


def links(daemon):
    """Its descriptors, without volumes that the cache has."""
    found = set()
    with os.scandir(f"/proc/{daemon.process.pid}/fd") as entries:
        for entry in entries:
            # It may be closed by now.
            with contextlib.suppress(FileNotFoundError):
                found.add((entry.name, os.readlink(entry.path)))
    return {each for each in found if not each[1].endswith(".vol")}


def kinds(found):
    return collections.Counter(re.sub(r":\[\d+\]$", "", link)
                               for _, link in found)


def lasting(daemon):
    """How many of each kind stay: whoever was there at the first look has left
    at the second one."""
    found = links(daemon)
    daemon.folder.status()
    return kinds(found & links(daemon))


def open_things(site):
    """All that should be nothing."""
    status = site.folder.status()
    counters, web = status["counters"], status["web"]
    found = {q["name"]: q["used"] for q in status["quotas"]
             if q["name"] not in ("connections", "sessions")}
    found.update({
        "waiting": web["files_waiting"], "hashing": web["files_hashing"],
        "connections": web["server"]["connections"],
        # Who asks is one, and one session is the web server's.
        "clients": status["clients"] - 1,
        "operations": counters["operations_started"] -
        counters["operations_finished"] - counters["operations_abandoned"],
    })
    return {name: n for name, n in found.items() if n != 0}


def finds(fact, what):
    """As wait_until, but tells what was found instead."""
    end = time.monotonic() + DEADLINE
    while True:
        found, wanted = fact()
        if found == wanted or time.monotonic() > end:
            assert found == wanted, what
            return
        select.select([], [], [], 0.01)


def files_are_described(storm):
    """As if nothing had been."""
    storm.set(0, "64K")
    site, tree = storm.site, storm.trees[0]
    site.settle()
    key = storm.keys.now
    left = {name for name in tree.lines if tree.at(name).version}

    def some():
        for name in sorted(left):
            version, etag = tree.at(name)
            answer = site.get("/" + name, *ASK_2)
            assert answer.etag == etag
            if answer.is_encoded:
                version.check(answer, "1.1", None, key)
                left.remove(name)
        return not left
    wait_until(some, f"hashes of {left}")


def nothing_is_left(storm):
    site = storm.site
    finds(lambda: (open_things(site), {}), "left")
    finds(lambda: (kinds(links(site.daemon)), storm.before), "descriptors")
    for host, before in zip(storm.branch, storm.branch_before):
        assert host.folder.ctl("--yes", "cache", "flush").code == 0

        def others(host=host, before=before):
            now = kinds(links(host.daemon))
            kept = now["socket"] - before["socket"]
            now["socket"] = before["socket"]
            return (now, kept <= KEPT_MOST), (before, True)
        finds(others, host.path.name)


@pytest.mark.parametrize("launcher", [(), ("--no-openat2",)],
                         ids=["", "no-openat2"])
def test_storm(launcher):
    print(f"SEED={SEED} for {SECONDS} s")
    with (site_of(launcher=launcher, Log__Level="warning") as site,
          hosts(2) as branch):
        storm = Storm(site, branch, SECONDS, SEED)
        most = storm.blow()
        done = sum((g.done for g in storm.guests), collections.Counter())
        print(storm.done, done, "slowest", storm.witness.slowest)
        files_are_described(storm)
        nothing_is_left(storm)
        grown = memory(site.daemon) - most
        print(f"{most >> 20} MiB and {grown >> 10} KiB; {site.web}")
        assert grown < GROWTH_MOST
        for kind in KINDS:
            assert done[kind] > 0, kind
        began = time.monotonic()
        assert site.daemon.stop() == 0
        assert time.monotonic() - began < LATE_S
        assert site.daemon.log() == ""
        site.start()
