# SPDX-License-Identifier: BSD-2-Clause
"""The web root under attack: ways out of it, things that are no files, floods
of fields, ranges and connections, clients that do not read; somebody
well-behaved is served all the time."""

import os
import random
import socket
import struct
import threading
import time
import traceback

import pytest

from conftest import DEADLINE
from http_client import Closed, Link, multipart
from pace import Stopwatch
from scene import SAN
from website import (ASK_2, OLD, VARY, encoded, makes_hash, noise, plain,
                     site_of, unprivileged, wait_until)

SECRET = b"not for the web"
SIZE = 300000
BIG = 8 << 30
# The longest that somebody well-behaved waits for one of his answers.
LATE_S = 10 if SAN else 2
GROWTH_MOST = (300 if SAN else 40) << 20


class Witness(threading.Thread):
    """Asks from an address of its own, and takes note of what is wrong or
    late."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site = site
        self.going = True
        self.rounds = 0
        self.slowest = 0
        self.fault = None
        self.news = threading.Condition()

    def round(self, link):
        site = self.site
        plain(link.ask("/good"), site.good.octets)
        encoded(site.ask(site.good, link=link), site.good, 2, "1.1")
        plain(link.ask("/good", "Range: bytes=5-9"), site.good.octets[5:10],
              206)
        assert link.ask("/none").status == 404
        with Link(site.address, DEADLINE, source="127.0.0.9") as new:
            plain(new.ask("/good", "Range: bytes=-3"), site.good.octets[-3:],
                  206)

    def run(self):
        try:
            with Link(self.site.address, DEADLINE,
                      source="127.0.0.9") as link:
                while self.going:
                    watch = Stopwatch(self.site.daemon.process.pid)
                    self.round(link)
                    with self.news:
                        self.slowest = max(self.slowest, watch.read())
                        self.rounds += 1
                        self.news.notify_all()
        except BaseException:  # told by check()
            with self.news:
                self.fault = traceback.format_exc()
                self.news.notify_all()

    def check(self):
        """Two more rounds end in time: one of them began after this."""
        with self.news:
            want = self.rounds + 2
            self.news.wait_for(lambda: self.fault or self.rounds >= want,
                               2 * DEADLINE)
            assert self.fault is None, self.fault
            assert self.rounds >= want, "the witness hangs"
            assert self.slowest < LATE_S, self.slowest

    def stop(self):
        self.going = False
        self.join(DEADLINE)


def memory(site):
    with open(f"/proc/{site.daemon.process.pid}/status",
              encoding="ascii") as lines:
        for line in lines:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


@pytest.fixture(scope="module")
def site():
    with site_of(uid=unprivileged()) as made:
        made.good = made.put("good", size=SIZE)
        outside = made.folder.path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(SECRET)
        (outside / "index.html").write_bytes(SECRET)
        (made.folder.path / "rootless").mkdir()
        (made.folder.path / "rootless" / "secret").write_bytes(SECRET)
        links(made, outside)
        others(made)
        made.put("deep/a/b/c/file", b"deep")
        with open(made.root / "big", "wb") as out:
            out.truncate(BIG)
            for at in (0, (4 << 30) - 4, (5 << 30) + 3, BIG - 4):
                out.seek(at)
                out.write(struct.pack(">I", at >> 8))
        os.utime(made.root / "big", (OLD, OLD))
        made.settle(made.good)
        made.hashed(made.good)
        yield made


def links(site, outside):
    """Ways out."""
    root = site.root
    for name, target in (
            ("abs-file", outside / "secret"), ("abs-folder", outside),
            ("up-file", "../outside/secret"), ("up-folder", "../outside"),
            ("up", ".."), ("slash", "/"), ("abs-inside", root / "good"),
            ("chain1", "chain2"), ("chain2", "up-folder"),
            ("sub/up", "../../outside"), ("sub/ok", "../good"),
            ("sub/deep-out", "../deep/a/../../../outside/secret"),
            ("proc", "/proc/self/root"), ("fd", "/proc/self/fd"),
            ("self", "/proc/self/cwd"), ("etc", "/etc/passwd"),
            ("loop1", "loop2"), ("loop2", "loop1"), ("me", "me"),
            ("dangling", "nowhere"), ("empty-dot", "."),
            ("prefix", "../rootless/secret"), ("long", "x/" * 2000 + "y")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    (root / "sub" / "one").symlink_to("two")
    for i in range(45):
        (root / f"hop{i}").symlink_to(f"hop{i + 1}" if i < 44 else "good")


def others(site):
    """What is no file and no folder."""
    root = site.root
    os.mkfifo(root / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "socket"))
    listener.listen()
    site.listener = listener
    if os.geteuid() == 0:
        try:
            os.mknod(root / "device", 0o20666, os.makedev(1, 5))  # zero
            os.mknod(root / "disk", 0o60666, os.makedev(7, 0))
        except PermissionError:
            pass
    unreadable = root / "unreadable"
    unreadable.write_bytes(SECRET)
    unreadable.chmod(0)
    (root / "shut").mkdir()
    (root / "shut" / "index.html").write_bytes(SECRET)
    (root / "shut").chmod(0)


@pytest.fixture(scope="module", autouse=True)
def witness(site):
    made = Witness(site)
    made.start()
    made.check()
    site.before = memory(site)
    yield made
    made.check()
    made.stop()
    assert memory(site) - site.before < GROWTH_MOST
    (site.root / "shut").chmod(0o755)


@pytest.fixture(autouse=True)
def calm(witness):
    yield
    witness.check()


@pytest.fixture(scope="module", params=["openat2", "walk"])
def place(site, request):
    """The same root, also by a daemon that has no openat2() and finds its way
    itself."""
    if request.param == "openat2":
        yield site
        return
    with site_of(uid=unprivileged(), launcher=["--no-openat2"],
                 root=site.root) as made:
        made.good = site.good
        yield made


# Ways out.

OUT = [
    "/../outside/secret", "/..", "/../", "/deep/../../outside/secret",
    "/%2e%2e/outside/secret", "/%2E%2E/outside/secret", "/.%2e/outside/secret",
    "/%2e./outside/secret", "/deep/%2e%2e/%2e%2e/outside/secret",
    "/..%2foutside%2fsecret", "/%2e%2e%2foutside%2fsecret",
    "/..%5coutside%5csecret", "/..\\outside\\secret", "/..%255coutside",
    "/%252e%252e/outside/secret", "/%c0%ae%c0%ae/outside/secret",
    "/%e0%80%ae%e0%80%ae/outside/secret", "/..%c0%afoutside/secret",
    "/..%00/outside/secret", "/%00/../outside/secret", "/good%00",
    "/good%00.html", "/%00", "//../outside/secret", "///../../outside/secret",
    "/./../outside/secret", "/.../outside/secret",
    "/deep/...//../../../outside",
    "/good/../../outside/secret", "/none/../../outside/secret",
    "/abs-file", "/abs-folder/secret", "/abs-folder/", "/abs-folder",
    "/up-file", "/up-folder/secret", "/up-folder/", "/up-folder", "/up/",
    "/up/outside/secret", "/up", "/slash/etc/passwd", "/slash/",
    "/chain1/secret", "/chain1/", "/sub/up/secret", "/sub/deep-out",
    "/proc/etc/passwd", "/fd/0", "/fd/", "/self/", "/self/secret", "/etc",
    "/prefix", "/../rootless/secret",
    "/../root/good", "/../root/../outside/secret", "/up/root/good",
    "/abs-inside", "/deep/../up-file", "/sub/../up-folder/secret",
    "/empty-dot/../outside/secret", "/empty-dot/up-file", "/loop1", "/me",
    "/me/x", "/loop1/../good/x", "/dangling", "/dangling/", "/dangling/x",
    "/long", "/sub/one", "/hop0", "/unreadable", "/shut/", "/shut/index.html",
    "/shut", "/good/", "/good/x", "/good/.", "http:///../outside/secret",
    "http://x/../outside/secret", "/" + "../" * 1000 + "outside/secret",
    "/" + "deep/../" * 500 + "../outside/secret", "/" + "a" * 4000,
    "/" + "a/" * 2000, "/" + "%2e%2e%2f" * 400 + "outside/secret",
]


@pytest.mark.parametrize("target", OUT, ids=range(len(OUT)))
def test_no_way_out(site, place, target):
    """Nor a word of what is there."""
    for asked in ((), ASK_2):
        answer = place.get(target, *asked)
        # Folders redirect and refuse, wherever they are.
        assert answer.status in (301, 400, 403, 404, 414, 431), answer
        assert SECRET not in answer.body and b"root:" not in answer.body
        assert not answer.is_encoded and not makes_hash(answer)
        assert answer.etag is None and answer.get("Last-Modified") is None
        # Nor where it is on this host.
        for value in (answer.get("Location", ""), answer.body.decode()):
            assert "outside" not in value.lower() or (
                "outside" in target and answer.status != 301)
            assert str(site.folder.path) not in value


def test_ways_inside_are_open(site, place):
    for target, octets in (("/sub/ok", site.good.octets),
                           ("/empty-dot/good", site.good.octets),
                           ("/hop10", site.good.octets),
                           ("/deep/a/b/../b/c/file", b"deep")):
        plain(place.get(target), octets)


@pytest.mark.parametrize("name", ["fifo", "socket", "device", "disk"])
def test_no_files(site, place, name):
    """Answered at once, and not opened for long."""
    if not (site.root / name).exists():
        pytest.skip("cannot make devices here")
    for target in (f"/{name}", f"/{name}/", f"/{name}/x"):
        for method in ("GET", "HEAD"):
            answer = place.get(target, *ASK_2, method=method)
            assert answer.status in (403, 404), answer
            assert not answer.is_encoded and not makes_hash(answer)


def test_fifo_has_no_reader(site, place):
    """Whoever writes into it does not find the daemon at its other end."""
    for _ in range(20):
        assert place.get("/fifo").status in (403, 404)
        with pytest.raises(OSError):
            os.close(os.open(site.root / "fifo", os.O_WRONLY | os.O_NONBLOCK))


def test_folders_move_while_asked(site, place):
    """Out of the root and back, in the middle of a way through them."""
    inside = site.root / "moving" / "a" / "b"
    if not inside.exists():
        inside.mkdir(parents=True)
        (inside / "good").write_bytes(b"good")
        (site.root / "moving" / "a" / "hop").symlink_to("b/../b")
        (site.folder.path / "secret").write_bytes(SECRET)
        (site.folder.path / "away").mkdir()
    away = site.folder.path / "away" / "a"
    stop = threading.Event()
    faults, asked = [], []

    def ask():
        try:
            with place.link() as link:
                while not stop.is_set():
                    for target in ("/moving/a/b/../../../secret",
                                   "/moving/a/b/../../secret",
                                   "/moving/a/hop/../../secret",
                                   "/moving/a/b/good", "/moving/a/hop/good",
                                   "/moving/a/hop/../b/../b/good"):
                        answer = link.ask(target)
                        assert answer.status in (200, 404), answer
                        assert answer.body == b"good" or (
                            answer.status == 404)
                        asked.append(answer.status)
        except BaseException as fault:  # told below
            faults.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()

    def moved():
        (site.root / "moving" / "a").rename(away)
        away.rename(site.root / "moving" / "a")
        return faults or asked.count(200) > 300 and asked.count(404) > 300
    end = time.monotonic() + DEADLINE
    while not moved() and time.monotonic() < end:
        pass
    stop.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert not faults, faults
    assert asked.count(200) > 300


# Requests that are none.

MALFORMED = [
    b"\r\n\r\n\r\n\r\n", b"\0", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    b"GET\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1 \r\n\r\n",
    b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /good\r\n\r\n",
    b"GET good HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /good HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /good HTTP/1.1\r\n: x\r\n\r\n",
    b"GET /good HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET /good HTTP/1.1\r\nX: a\0b\r\n\r\n",
    b"GET /good HTTP/1.1\r\nHost: x\r\nX\x01: a\r\n\r\n",
    b"GET /good HTTP/9.9\r\nHost: x\r\n\r\n", b"GET /good HTTP/1.11\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /good HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
    b"hello",
    b"GET /good HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"GET /good HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello",
    b"GET /good HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET /good HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    b"GET /good HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /good HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n",
    b"GET " + b"/" * 9000 + b" HTTP/1.1\r\n\r\n",
    b"GET /good HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
    b"GET /good HTTP/1.1\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
    b"GET /good HTTP/1.1\r\n" + b"x" * 9000 + b": y\r\n\r\n",
    b"A" * 20000,
]


@pytest.mark.parametrize("octets", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed(site, octets):
    """Refused or ignored, and never taken for something else."""
    with site.link() as link:
        try:
            link.raw(octets)
            link.socket.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass
        for _ in range(10):
            try:
                answer = link.receive()
            except Closed as closed:
                assert closed.octets == b""
                break
            assert answer.status >= 400, answer
            if not answer.keeps:
                assert link.ended()
                break
        else:
            raise AssertionError("no end to it")


def test_folded_fields(site):
    """Of old: joined or refused, but not two fields."""
    with site.link() as link:
        link.raw(b"GET /good HTTP/1.1\r\nHost: x\r\nX-Y: a\r\n Range: bytes=0-4"
                 b"\r\n\r\n")
        answer = link.receive()
        assert answer.status in (200, 400)
        if answer.status == 200:
            plain(answer, site.good.octets)


def test_fields_just_below_the_limit(site):
    with site.link() as link:
        plain(link.ask("/good", "X: " + "x" * 7000), site.good.octets)
        fields = [f"X-{i}: {i}" for i in range(400)]
        plain(link.ask("/good", *fields), site.good.octets)


PEERDIST = [
    "X-P2P-PeerDist: " + "," * 7000, "X-P2P-PeerDist: " + "Version=1.1," * 500,
    "X-P2P-PeerDist: Version=" + "9" * 6000 + ".1",
    "X-P2P-PeerDist: Version=1." + "1" * 6000,
    "X-P2P-PeerDist: Version=1.1, ContentLength=" + "9" * 6000,
    "X-P2P-PeerDist: Version=1.1" + ", MissingDataRequest=true" * 250,
    "X-P2P-PeerDist: " + "=" * 7000, "X-P2P-PeerDist: \"Version=1.1",
    "X-P2P-PeerDist: Version=-1.-1", "X-P2P-PeerDist: Version=1.1\t",
    "X-P2P-PeerDistEx: " + "MinContentInformation=1.0," * 250,
    "X-P2P-PeerDistEx: MinContentInformation=99999999999999999999.0",
    "X-P2P-PeerDistEx: " + "a=" * 3000, "Accept-Encoding: " + "peerdist," * 700,
    "Accept-Encoding: peerdist;q=" + "0" * 6000,
    "Accept-Encoding: peerdist;q=1;q=0", "Accept-Encoding: ;;;;;",
    "Accept-Encoding: peerdist;;;q", "Accept-Encoding: \"peerdist\"",
    b"X-P2P-PeerDist: Version=1.1\xff\xfe",
]


@pytest.mark.parametrize("field", PEERDIST, ids=range(len(PEERDIST)))
def test_fields_of_peerdist(site, field):
    """Alone, and before and behind good ones: an answer that is right for what
    it says it is."""
    for fields in ((field,), (field, *ASK_2), (*ASK_2, field)):
        answer = site.get(site.good, *fields)
        assert answer.status in (200, 400)
        if answer.status == 400:
            continue
        if answer.is_encoded:
            version = 2 if answer.body[:2] == b"\0\2" else 1
            encoded(answer, site.good, version,
                    answer.get("X-P2P-PeerDist")[8:11])
        else:
            plain(answer, site.good.octets)
        assert answer.get("Vary") == VARY


# Ranges.

def spec(ranges):
    return "Range: bytes=" + ",".join(ranges)


@pytest.mark.parametrize("ranges", [
    ["0-"] * 1000, ["0-0"] * 1500, [f"{i}-" for i in range(1000)],
    [f"-{i}" for i in range(1, 1000)], ["0-299999", "0-299999"],
    ["5-", "4-", "3-"], [f"{i}-{i + 100000}" for i in range(200)],
    [f"{i}-{i}" for i in range(0, 1600, 2)], ["1-2"] * 65,
    ["0-299998", "299999-", "5-6"]], ids=range(10))
def test_many_ranges(site, ranges):
    """Never more than the file itself, whatever is asked for."""
    for asked in ((), ASK_2):
        answer = site.get(site.good, spec(ranges), *asked)
        assert answer.status in (200, 206, 400, 416, 431)
        if answer.status == 200 and answer.is_encoded:
            encoded(answer, site.good, 2, "1.1")
        elif answer.status == 200:
            plain(answer, site.good.octets)
        elif answer.status == 206:
            parts = multipart(answer)
            assert len(parts) <= 64
            assert sum(len(p[4]) for p in parts) <= SIZE
            for _, first, last, size, octets in parts:
                assert size == SIZE
                assert octets == site.good.octets[first:last + 1]


HUGE = [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 63 - 1, 2 ** 63,
        2 ** 64 - 1, 2 ** 64, 2 ** 64 + 5, 10 ** 40]


@pytest.mark.parametrize("number", HUGE)
def test_huge_numbers(site, number):
    """A number is not taken for what is left of it in 32 or 64 bits."""
    whole = site.good.octets
    for text in (f"{number}-", f"{number}-{number}", f"{number}-{number + 9}"):
        answer = site.get(site.good, f"Range: bytes={text}", *ASK_2)
        assert answer.status in (200, 416), (text, answer)
    for text, wanted in ((f"0-{number}", whole), (f"5-{number}", whole[5:]),
                         (f"-{number}", whole)):
        answer = site.get(site.good, f"Range: bytes={text}")
        # More than a file can have may be no number.
        assert answer.status == 206 or number >= 2 ** 63
        plain(answer, wanted if answer.status == 206 else whole, answer.status)
    assert site.get(site.good, f"Range: bytes=0-1,{number}-").status in (
        200, 206)
    answer = site.get(site.good, f"Content-Length: {number}")
    assert answer.status >= 400


# A file beyond 4 GiB.

@pytest.mark.parametrize("first, length", [
    (0, 4), ((4 << 30) - 4, 4), ((4 << 30) - 4, 8), ((4 << 30) - 10, 70000),
    ((5 << 30) + 3, 4), ((5 << 30) - 1, 1 << 20), (BIG - 4, 4), (BIG - 1, 1),
    (BIG - (1 << 20), 1 << 20), (4 << 30, 1), ((4 << 30) + 65536, 65536)])
def test_big_file(site, first, length):
    answer = site.get("/big", f"Range: bytes={first}-{first + length - 1}")
    with open(site.root / "big", "rb") as f:
        plain(answer, os.pread(f.fileno(), length, first), 206)
    assert answer.get("Content-Range") == (
        f"bytes {first}-{first + length - 1}/{BIG}")


def test_big_file_has_its_length(site):
    assert site.get("/big", method="HEAD").length == BIG
    answer = site.get("/big", "Range: bytes=-4")
    assert answer.get("Content-Range") == f"bytes {BIG - 4}-{BIG - 1}/{BIG}"
    assert site.get("/big", f"Range: bytes={BIG}-").status == 416
    parts = multipart(site.get("/big", f"Range: bytes=0-3,{5 << 30}-"
                                       f"{(5 << 30) + 9},-4"))
    assert [(p[1], len(p[4])) for p in parts] == [
        (0, 4), (5 << 30, 10), (BIG - 4, 4)]
    with site.link(room=65536) as link:
        link.send("/big")
        head = link.head()
        assert head.length == BIG
        assert link.take(4) == bytes(4)


# Connections.

def address_of(i):
    return f"127.0.{1 + i // 250}.{1 + i % 250}"


def test_many_connections_from_one(site, witness):
    """More than are given to one: those are closed, nobody else is troubled."""
    most = 1024
    links, refused = [], 0
    for _ in range(most + 100):
        link = Link(site.address, DEADLINE, source="127.0.0.7")
        links.append(link)
    wait_until(lambda: site.web["server"]["crowded"] > 0, "a limit")
    witness.check()
    # Those that were taken are as good as ever.
    for link in links[:50]:
        plain(link.ask("/good", "Range: bytes=0-4"), site.good.octets[:5], 206)
    for link in links[-10:]:
        try:
            link.send("/good")
            link.receive()
        except (Closed, BrokenPipeError, ConnectionResetError):
            refused += 1
    assert refused > 0
    for link in links:
        link.close()
    wait_until(lambda: site.web["server"]["connections"] < 50, "they are gone")
    plain(site.get(site.good), site.good.octets)


def test_clients_that_do_not_read(site, witness):
    """Of a body that is larger than what lies between: they cost nothing but
    their connection."""
    links = []
    for i in range(100):
        link = Link(site.address, DEADLINE, room=4096, source=address_of(i))
        link.send("/big")
        links.append(link)
    for link in links:
        assert link.head().length == BIG
    witness.check()
    for link in links:
        link.close()


def test_endless_pipelines(site, witness):
    """Requests without end by somebody who reads no answers."""
    with Link(site.address, 1, room=4096) as link:
        octets = link.request("/good") * 200
        sent = 0
        link.socket.setblocking(False)
        end = time.monotonic() + 2
        while time.monotonic() < end and sent < 64 << 20:
            try:
                sent += link.socket.send(octets)
            except BlockingIOError:
                if sent > 1 << 20:
                    break
            except OSError:
                break
        witness.check()
    assert memory(site) - site.before < GROWTH_MOST


def test_slow_senders(site, witness):
    """One byte after the other, and then no more of them: their request is
    given up in time, meanwhile others have room."""
    links = []
    for i in range(64):
        link = Link(site.address, 2 * DEADLINE, source=address_of(i))
        link.raw(b"GET /good HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        links.append(link)
    before = site.web["server"]["timed_out"]
    for _ in range(20):
        for link in links:
            link.raw(b"x")
        witness.check()
    # All of them are given up, though bytes keep coming.
    def given_up():
        for link in links:
            try:
                link.socket.send(b"x")
            except OSError:
                pass
        return site.web["server"]["timed_out"] - before >= len(links)
    wait_until(given_up, "their end", 2 * DEADLINE)
    for link in links:
        link.close()


def test_resets(site, witness):
    """In the middle of a request, of an answer, of a wait."""
    dice = random.Random(5)
    for i in range(300):
        link = Link(site.address, DEADLINE, room=4096, source=address_of(i % 9))
        octets = link.request("/good", *(ASK_2 if i % 2 else ()))
        link.raw(octets[:dice.randrange(1, len(octets) + 1)])
        if i % 3 == 0:
            link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        link.close()
    witness.check()
    wait_until(lambda: site.web["server"]["connections"] < 20, "they are gone")


def test_random_bytes(site):
    """Requests with some of their bytes changed."""
    dice = random.Random(6)
    with site.link() as link:
        model = link.request("/good", *ASK_2, "Range: bytes=0-99999",
                             "If-None-Match: \"x\"")
    for _ in range(300):
        octets = bytearray(model)
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        with site.link() as link:
            link.raw(octets)
            link.socket.shutdown(socket.SHUT_WR)
            try:
                answer = link.receive("HEAD" if octets[:4] == b"HEAD" else
                                      "GET")
            except Closed as closed:
                assert closed.octets == b""
                continue
            assert SECRET not in answer.body
            if answer.is_encoded:
                assert answer.status in (200, 206)
                start = 0
                if answer.status == 206:
                    start = int(answer.get("Content-Range")[6:].split("-")[0])
                version = 2 if answer.body[:2] == b"\0\2" else 1
                length = int(answer.get("X-P2P-PeerDist").rpartition("=")[2])
                site.good.described.check(answer.body, version, start, length)
            elif answer.status == 200 and answer.length == SIZE:
                plain(answer, site.good.octets)


def test_many_files_wanted(site):
    """More than may wait to be hashed: the rest is asked for again later, and
    answers go on."""
    files = [site.put(f"many/{i}", noise(70000, i)) for i in range(400)]
    with site.link() as link:
        for file in files:
            plain(site.ask(file, link=link), file.octets)
        view = site.web
        assert view["files_waiting"] + view["files_hashing"] <= 256 + 2
    site.hashed(*files)
    for file in files[::40]:
        encoded(site.ask(file), file, 2, "1.1")


def test_no_trace_in_the_log(site):
    """Whatever was sent: it is not the place for it."""
    log = site.daemon.log()
    assert SECRET.decode() not in log
    assert log.count("\n") < 500
