# SPDX-License-Identifier: BSD-2-Clause
"""The habits of a network boot client, iPXE, on the way from a web root to a
whole file.

It asks for whole files only, accepts no coding but peerdist, and takes every
coding that it does not know for none.  It looks at neither entity tag nor
ContentLength.  32 blocks are under way at once, each asked for from peers
first; what they do not have is fetched from the web root as a range of the
whole block, without Accept-Encoding, two at a time.  A block whose hash is
wrong is tried again, four times in all, and then the boot has failed.

What it makes of content information is read here as it does, by position, and
apart from the other tests' readers.
"""

import concurrent.futures
import contextlib
import hashlib
import hmac
import socket
import struct
import threading

import pytest

import http_client
import ipc
from conftest import DEADLINE, Daemon, Folder
from test_ipxe import POST, getblks, opened_by_ipxe
from website import encoded, plain, site_of, wait_until

AT_ONCE, RAW_AT_ONCE, CYCLES = 32, 2, 4
BLOCK = 65536
ID_TAG = "MS_P2P_CACHING\0".encode("utf-16-le")

GET = ("GET {target} HTTP/1.1\r\n"
       "Connection: keep-alive\r\n"
       "User-Agent: iPXE/1.21.1+ (g02b26)\r\n"
       "Host: {host}\r\n"
       "Accept-Encoding: peerdist\r\n"
       "X-P2P-PeerDist: Version=1.1\r\n"
       "X-P2P-PeerDistEx: MinContentInformation=1.0, MaxContentInformation=2.0"
       "\r\n\r\n")

RAW = ("GET {target} HTTP/1.1\r\n"
       "Connection: keep-alive\r\n"
       "User-Agent: iPXE/1.21.1+ (g02b26)\r\n"
       "Host: {host}\r\n"
       "Range: bytes={first}-{last}\r\n"
       "X-P2P-PeerDist: Version=1.1, MissingDataRequest=true\r\n"
       "\r\n")


class Block:
    """What is fetched in one: (segment id, index) is how peers know it."""

    def __init__(self, ident, index, kp, at, length, digest, v2):
        self.ident, self.index, self.kp = ident, index, kp
        self.at, self.length, self.digest = at, length, digest
        self.v2 = v2

    def is_right(self, octets):
        made = (hashlib.sha512(octets).digest()[:32] if self.v2 else
                hashlib.sha256(octets).digest())
        return made == self.digest

    # For opened_by_ipxe().

    @property
    def secrets(self):
        return {self.ident: self.kp}

    def block(self, ident, index):
        assert (ident, index) == (self.ident, self.index)
        return bytes(self.length)


def blocks1(info):
    count, = struct.unpack_from("<I", info, 14)
    at, found = 18 + 80 * count, []
    for i in range(count):
        start, length, size = struct.unpack_from("<QII", info, 18 + 80 * i)
        hod, kp = info[34 + 80 * i:66 + 80 * i], info[66 + 80 * i:98 + 80 * i]
        ident = hmac.digest(kp, hod + ID_TAG, "sha256")
        listed, = struct.unpack_from("<I", info, at)
        at += 4
        for index in range(listed):
            where = index * size
            found.append(Block(ident, index, kp, start + where,
                               min(size, length - where),
                               info[at:at + 32], False))
            at += 32
    assert at == len(info)
    return found


def blocks2(info):
    start, = struct.unpack_from(">Q", info, 3)
    at, found = 31, []
    while at < len(info):
        kind, size = struct.unpack_from(">BI", info, at)
        assert kind == 0
        at += 5
        for row in range(at, at + size, 68):
            length, = struct.unpack_from(">I", info, row)
            hod, kp = info[row + 4:row + 36], info[row + 36:row + 68]
            ident = hmac.digest(kp, hod + ID_TAG, "sha512")[:32]
            found.append(Block(ident, 0, kp, start, length, hod, True))
            start += length
        at += size
    return found


class Peer:
    """A daemon that holds some blocks."""

    def __init__(self, path):
        path.mkdir()
        self.folder = Folder(path)
        self.folder.write(Service__Mode="distributed",
                          DataCache__MaxSize="256M")
        self.daemon = Daemon(self.folder).start()
        [row] = [r for r in self.folder.status()["listeners"]
                 if r["name"] == "retrieval"]
        self.name = row["address"]
        host, _, port = self.name.rpartition(":")
        self.address = host, int(port)

    def holds(self, info, blocks, octets):
        client = ipc.Client(self.folder.socket, DEADLINE)
        handle = client.open_content(info)
        for block in blocks:
            part = octets[block.at:block.at + block.length]
            assert client.add(ipc.SUBMIT_DATA_ADD, handle, part,
                              block.at) == (0, 0)
        client.close()

    def ask(self, connection, block, asked):
        """The block's bytes, or None."""
        body = getblks(block.ident, block.index)
        connection.raw(POST.format(host=self.name, length=len(body)).encode() +
                       body)
        asked()
        answer = connection.receive()
        assert answer.status == 200
        return opened_by_ipxe(answer.body, block, block.ident, block.index)


class Connections:
    """Kept ones to one place; counts those in use.  No more than most."""

    def __init__(self, address, most, source):
        self.address, self.source = address, source
        self.idle = []
        self.lock = threading.Lock()
        self.room = threading.Semaphore(most)
        self.used = self.peak = self.made = 0

    @contextlib.contextmanager
    def one(self):
        with self.room:
            with self.lock:
                self.used += 1
                self.peak = max(self.peak, self.used)
                link = self.idle.pop() if self.idle else None
                self.made += link is None
            if link is None:
                link = http_client.Link(self.address, DEADLINE,
                                        source=self.source)
            try:
                yield link
            finally:
                with self.lock:
                    self.used -= 1
                    self.idle.append(link)

    def close(self):
        for link in self.idle:
            link.close()


class BootFailed(Exception):
    pass


class Ipxe:
    """change: called once, when half of the blocks are there; source: the
    address of this host."""

    def __init__(self, address, peers=(), change=None, source="127.0.0.1"):
        self.host = f"{address[0]}:{address[1]}"
        self.origin = Connections(address, RAW_AT_ONCE, source)
        self.address = address
        self.peers = [(peer, Connections(peer.address, AT_ONCE, source))
                      for peer in peers]
        self.change = change
        self.lock = threading.Lock()
        self.from_peers = self.from_origin = 0
        self.attempts = 0
        self.answer = None
        # All that may be under way at once are, before one has come.
        self.start = None

    def raw(self, target, block):
        with self.origin.one() as link:
            link.raw(RAW.format(target=target, host=self.host, first=block.at,
                                last=block.at + block.length - 1).encode())
            answer = link.receive()
            # What it reads is what it was sent, whatever that is called.
            assert not answer.is_encoded
            return answer

    def wait_for_all(self):
        if self.start is not None:
            self.start.wait(DEADLINE)

    def fetch(self, target, block, octets):
        for _ in range(CYCLES):
            for peer, connections in self.peers:
                with connections.one() as link:
                    found = peer.ask(link, block, self.wait_for_all)
                if found is not None and block.is_right(found):
                    with self.lock:
                        self.from_peers += 1
                    octets[block.at:block.at + block.length] = found
                    return
            answer = self.raw(target, block)
            with self.lock:
                self.attempts += 1
            if answer.status == 206 and block.is_right(answer.body):
                with self.lock:
                    self.from_origin += 1
                octets[block.at:block.at + block.length] = answer.body
                return
        raise BootFailed(f"block at {block.at}")

    def get(self, target, version=None):
        """The file, or BootFailed.  It asks for both versions; version: one of
        an older client."""
        with http_client.Link(self.address, DEADLINE) as link:
            text = GET.format(target=target, host=self.host)
            if version == 1:
                text = text.replace("MaxContentInformation=2.0",
                                    "MaxContentInformation=1.0")
            link.raw(text.encode())
            self.answer = answer = link.receive()
        assert answer.status == 200
        if not answer.is_encoded:
            return answer.body
        blocks = self.blocks(answer.body)
        octets = bytearray(sum(b.length for b in blocks))
        assert blocks[0].at == 0
        count = min(AT_ONCE, len(blocks))
        self.start = threading.Barrier(count) if self.peers else None
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            tasks = []
            for i, block in enumerate(blocks):
                tasks.append(pool.submit(self.fetch, target, block, octets))
                if i + 1 == count:
                    # All have their first; later ones do not wait.
                    for task in tasks:
                        task.exception()
                    self.start = None
                if self.change is not None and i == len(blocks) // 2:
                    tasks[i].exception()
                    self.change()
                    self.change = None
            for task in tasks:
                task.result()
        return bytes(octets)

    @staticmethod
    def blocks(info):
        return blocks1(info) if info[:2] == b"\0\1" else blocks2(info)

    def close(self):
        for each in (self.origin, *(c for _, c in self.peers)):
            each.close()


@pytest.fixture(scope="module")
def site():
    with site_of() as made:
        made.kernel = made.put("boot/vmlinuz", size=(6 << 20) + 4321)
        made.image = made.put("boot/install.wim", size=(34 << 20) + 99)
        made.script = made.put("boot.ipxe", b"#!ipxe\nboot\n")
        made.changing = [made.put(f"changing{i}", size=3 << 20)
                         for i in range(3)]
        made.settle()
        made.hashed(made.kernel, made.image)
        yield made


@pytest.fixture(scope="module")
def peer(site):
    """It has every second block of the kernel, by both versions, and of the
    image all but what is at its end."""
    made = Peer(site.folder.path / "peer")
    for version in (1, 2):
        for file, part in ((site.kernel, slice(None, None, 2)),
                           (site.image, slice(None, -40))):
            info = site.ask(file, version=version).body
            made.holds(info, Ipxe.blocks(info)[part], file.octets)
    yield made
    assert made.daemon.stop() == 0
    made.daemon.close()


@contextlib.contextmanager
def booting(site, *args, **kwargs):
    client = Ipxe(site.address, *args, **kwargs)
    try:
        yield client
    finally:
        client.close()


def test_small_files_come_at_once(site):
    with booting(site) as client:
        assert client.get("/boot.ipxe") == site.script.octets
        assert not client.answer.is_encoded


@pytest.mark.parametrize("name", ["kernel", "image"])
def test_whole_file_is_encoded(site, name):
    """All it needs to know is in the answer to its first request."""
    file = getattr(site, name)
    with booting(site) as client:
        client.get(file.target)
        encoded(client.answer, file, 2, "1.1")
        assert client.answer.status == 200
        assert client.answer.get("Transfer-Encoding") is None
        assert client.answer.keeps


@pytest.mark.parametrize("version", [1, 2])
def test_without_peers(site, version):
    """All blocks by ranges, two at a time, on connections that are kept."""
    before = site.web
    with booting(site) as client:
        assert client.get(site.kernel.target, version) == site.kernel.octets
        count = len(client.blocks(client.answer.body))
        assert client.from_origin == client.attempts == count
        assert client.origin.peak == client.origin.made == RAW_AT_ONCE
    after = site.web
    assert after["missing_data"] - before["missing_data"] == count
    assert after["plain_bytes"] - before["plain_bytes"] == (
        len(site.kernel.octets))


@pytest.mark.parametrize("version", [1, 2])
def test_with_a_peer(site, peer, version):
    """32 blocks under way; what the peer has not comes from the web root."""
    with booting(site, [peer]) as client:
        assert client.get(site.kernel.target, version) == site.kernel.octets
        count = len(client.blocks(client.answer.body))
        assert client.from_peers == (count + 1) // 2
        assert client.from_origin == client.attempts == count // 2
        assert client.origin.peak <= RAW_AT_ONCE
        assert client.peers[0][1].peak == AT_ONCE


@pytest.mark.parametrize("version", [1, 2])
def test_several_segments_with_a_peer(site, peer, version):
    with booting(site, [peer]) as client:
        assert client.get(site.image.target, version) == site.image.octets
        assert client.from_origin == 40
        assert client.from_peers > 200


def test_several_at_once(site, peer):
    """A branch that boots in the morning."""
    def boot(i):
        with booting(site, [peer], source=f"127.0.1.{i + 1}") as client:
            return client.get(site.kernel.target, 1 + i % 2)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for octets in pool.map(boot, range(4)):
            assert octets == site.kernel.octets


def test_raw_requests_are_never_encoded(site):
    """Each is a range request that names PeerDist; also one of all bytes, and
    with hashes there."""
    size = len(site.kernel.octets)
    with site.link() as link:
        for first, last in ((0, BLOCK - 1), (0, size - 1), (BLOCK, size - 1),
                            (size - 1, size - 1)):
            link.raw(RAW.format(target=site.kernel.target, host=link.host,
                                first=first, last=last).encode())
            answer = plain(link.receive(), site.kernel.octets[first:last + 1],
                           206)
            assert answer.get("Content-Range") == f"bytes {first}-{last}/{size}"


def test_no_coding_but_peerdist(site):
    """Since it takes every other for none."""
    for value in ("gzip", "gzip, deflate, br, zstd", "compress", "xz", "*",
                  "identity", "x-unknown", "gzip;q=1.0, *;q=0.5",
                  "identity;q=0"):
        answer = site.get(site.kernel, f"Accept-Encoding: {value}")
        plain(answer, site.kernel.octets)
        assert answer.get("Content-Encoding") is None


def test_first_boot_is_plain(site):
    """And the next one is not."""
    file = site.put("new", size=200000)
    with booting(site) as client:
        assert client.get("/new") == file.octets
        assert not client.answer.is_encoded
    site.hashed(file)
    with booting(site) as client:
        assert client.get("/new") == file.octets
        encoded(client.answer, file, 2, "1.1")


def test_changed_before_the_boot(site):
    """It is never given hashes of what the file was: it boots."""
    file = site.changing[0]
    site.hashed(file)
    other = site.put("changing0.new", size=3 << 20, seed=77)
    other.path.rename(file.path)
    with booting(site) as client:
        assert client.get(file.target) == other.octets
        assert not client.answer.is_encoded


def test_changed_during_the_boot(site):
    """It fails, and comes again; it never has a file that was none."""
    file = site.changing[1]
    site.hashed(file)
    other = site.put("changing1.new", size=3 << 20, seed=78)
    with booting(site, change=lambda: other.path.rename(file.path)) as client:
        with pytest.raises(BootFailed):
            client.get(file.target)
        encoded(client.answer, file, 2, "1.1")
    with booting(site) as client:
        assert client.get(file.target) == other.octets
        assert not client.answer.is_encoded
    file.octets = other.octets
    site.hashed(file)
    with booting(site) as client:
        assert client.get(file.target) == other.octets
        encoded(client.answer, file, 2, "1.1")


def test_server_comes_back(site):
    """With the hashes it had; what clients had begun goes on."""
    with booting(site) as client:
        client.get(site.kernel.target)
        info = client.answer.body
    site.restart()
    with booting(site) as client:
        assert client.get(site.kernel.target) == site.kernel.octets
        assert client.answer.body == info


def when_alone(site):
    """Counters of the server, when nobody is connected."""
    def alone():
        counters = site.web["server"]
        return counters["connections"] == 0 and counters
    return wait_until(alone, "no connections")


def test_gives_up_in_the_middle(site):
    """As when the machine is switched off; nothing is left behind."""
    before = when_alone(site)
    links = []
    for _ in range(AT_ONCE):
        link = site.link(room=4096)
        link.raw(RAW.format(target=site.image.target, host=link.host,
                            first=0, last=len(site.image.octets) - 1).encode())
        link.head()
        links.append(link)
    for link in links:
        link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack("ii", 1, 0))
        link.close()
    assert when_alone(site)["broken"] - before["broken"] == AT_ONCE
    with booting(site) as client:
        assert client.get(site.kernel.target) == site.kernel.octets
