# SPDX-License-Identifier: BSD-2-Clause
"""Every message of retrieval and every refusal, over the wire to a real
daemon: what is answered, with which HTTP status, and whether the connection
stays."""

import hashlib
import socket
import struct

import pytest

from bad_peer import (AES, AES_128, BLK, BLKLIST, GETBLKLIST, GETBLKS, NEGO_REQ,
                      NEGO_RESP, SEGLIST, block_message, list_message, message,
                      nego_message, sized, words)
from conftest import DEADLINE
from lab import BLOCK, lab_of, make, needs_lab

pytestmark = needs_lab
GETSEGLIST = 6
REQUEST_MAX = 98304
PATH = "/116B50EB-ECE2-41ac-8429-9F9E963361B7/"
NOBODY = hashlib.sha256(b"nobody").digest()
RID = bytes(range(16))


def request(kind, body, major=1, algo=AES_128, size=None):
    if size is None:
        size = 16 + len(body)
    return words(major, kind, size, algo) + body


def getblks(ident, *ranges, count=None, **wrong):
    if count is None:
        count = len(ranges)
    return request(GETBLKS, sized(ident) + words(count) + b"".join(
        words(*r) for r in ranges) + words(0), **wrong)


def getblklist(ident, *ranges, count=None, **wrong):
    if count is None:
        count = len(ranges)
    return request(GETBLKLIST, sized(ident) + words(count) + b"".join(
        words(*r) for r in ranges), **wrong)


def getseglist(*ids, count=None, blob=b"", major=2):
    if count is None:
        count = len(ids)
    return request(GETSEGLIST, RID + words(count) + b"".join(
        sized(i) for i in ids) + sized(blob, last=True), major, 0)


def posted(body, path=PATH, method="POST", more="", length=None):
    size = len(body) if length is None else length
    return (f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}"
            f"Content-Length: {size}\r\n\r\n").encode() + body


class Talk:
    def __init__(self, host, server):
        self.socket = host.net.socket()
        self.socket.settimeout(DEADLINE)
        self.socket.connect((server.v4(), 80))
        self.received = b""

    def more(self):
        octets = self.socket.recv(1 << 20)
        if not octets:
            raise EOFError
        self.received += octets

    def say(self, octets):
        """Status, fields and body of the answer."""
        self.socket.sendall(octets)
        return self.hear()

    def hear(self):
        while b"\r\n\r\n" not in self.received:
            self.more()
        head, _, body = self.received.partition(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        size = int(fields["content-length"])
        while len(body) < size:
            self.received = b""
            self.more()
            body += self.received
        self.received = body[size:]
        return int(lines[0].split(" ")[1]), fields, body[:size]

    def is_open(self):
        try:
            return self.say(posted(request(
                NEGO_REQ, words(1, 2), algo=0)))[2] == nego_message()
        except (EOFError, ConnectionError):
            return False

    def close(self):
        self.socket.close()


class Site:
    def __init__(self, lab):
        self.server, self.host = lab.hosts
        self.server.start()
        self.what = self.server.gives(make(4 * BLOCK), [0, 2, 3])
        self.ident = self.what.ids[0]
        self.many = self.server.gives(make(3 * BLOCK, 2))


@pytest.fixture(scope="module")
def site():
    with lab_of(2) as lab:
        yield Site(lab)


@pytest.fixture
def talk(site):
    made = Talk(site.host, site.server)
    yield made
    made.close()


def empty(index=0):
    return lambda s: block_message(s.ident, index)


def block(index):
    """The right block, whatever its IV."""
    return lambda s: (s.ident, index)


def nobodys(s):
    return block_message(NOBODY, 0)


def listed(*ranges, after=0):
    return lambda s: list_message(s.ident, ranges, after)


def versions(_):
    return nego_message()


def segments(*ranges):
    return lambda s: ranges


ANSWERED = {
    "nego": (lambda s: request(NEGO_REQ, words(1, 2), algo=0), versions),
    "nego-suite": (lambda s: request(NEGO_REQ, words(1, 0xFFFF0001)),
                   versions),
    "nego-other": (lambda s: request(NEGO_REQ, words(7, 9)), versions),
    "list": (lambda s: getblklist(s.ident, (0, 512)),
             listed((0, 1), (2, 2))),
    "list-part": (lambda s: getblklist(s.ident, (0, 1), (1, 1)),
                  listed((0, 1), after=2)),
    "list-v2": (lambda s: getblklist(s.ident, (3, 1), major=2),
                listed((3, 1))),
    "list-nothing": (lambda s: getblklist(s.ident, (1, 1)), None),
    "list-0": (lambda s: getblklist(s.ident), None),
    "list-outside": (lambda s: getblklist(s.ident, (512, 1)), None),
    "list-clamped": (lambda s: getblklist(s.ident, (3, 0xFFFFFFFF)),
                     listed((3, 1))),
    "list-256": (lambda s: getblklist(s.ident, *[(2 * i, 1) for i in range(
        256)]), listed((0, 1), (2, 1), after=3)),
    "list-nobody": (lambda s: getblklist(NOBODY, (0, 512)),
                    lambda s: list_message(NOBODY, [])),
    "list-48": (lambda s: getblklist(bytes(48), (0, 512)),
                lambda s: list_message(bytes(48), [])),
    "block": (lambda s: getblks(s.ident, (2, 1)), block(2)),
    "block-v2": (lambda s: getblks(s.ident, (2, 1), major=2), block(2)),
    "block-several": (lambda s: getblks(s.ident, (2, 2)), block(2)),
    "block-0": (lambda s: getblks(s.ident, (0, 0)), empty()),
    "block-none": (lambda s: getblks(s.ident, (1, 1)), empty(1)),
    "block-outside": (lambda s: getblks(s.ident, (512, 1)), None),
    "block-nobody": (lambda s: getblks(NOBODY, (0, 1)), nobodys),
    "block-64": (lambda s: getblks(bytes(64), (0, 1)),
                 lambda s: block_message(bytes(64), 0)),
    "block-plain": (lambda s: getblks(s.ident, (0, 1), algo=0), block(0)),
    "major-0": (lambda s: getblks(s.ident, (0, 1), major=0), versions),
    "major-3": (lambda s: getblks(s.ident, (0, 1), major=3), versions),
    "list-major": (lambda s: getblklist(s.ident, (0, 1), major=0xFEFE),
                   versions),
    "seg": (lambda s: getseglist(NOBODY, s.ident, *s.many.ids),
            segments((1, 4))),
    "seg-two": (lambda s: getseglist(s.ident, NOBODY, s.many.ids[0]),
                segments((0, 1), (2, 1))),
    "seg-v1": (lambda s: getseglist(s.ident, major=1), segments((0, 1))),
    "seg-blob": (lambda s: getseglist(
        s.ident, blob=bytes.fromhex("00010301 0060ea00")),
                 segments((0, 1))),
    "seg-bad-blob": (lambda s: getseglist(s.ident, blob=b"\xff"),
                     segments((0, 1))),
    "seg-nobody": (lambda s: getseglist(NOBODY), segments()),
    "seg-major": (lambda s: getseglist(s.ident, major=9), versions),
}


def assert_segments(octets, wanted):
    _, major, kind, size, _ = struct.unpack_from(">5I", octets)
    assert (major, kind, size) == (2, SEGLIST, len(octets) - 4)
    assert octets[20:36] == RID
    count, = struct.unpack_from(">I", octets, 36)
    found = [struct.unpack_from(">II", octets, 40 + 8 * i)
             for i in range(count)]
    assert found == list(wanted)
    at = 40 + 8 * count
    blob, = struct.unpack_from(">I", octets, at)
    assert at + 4 + blob == len(octets)
    if not wanted:
        assert blob == 0


def assert_block(octets, site, ident, index):
    _, major, kind, _, algo = struct.unpack_from(">5I", octets)
    assert (major, kind, algo) == (1, BLK, AES_128)
    size, = struct.unpack_from(">I", octets, 64)
    iv = octets[-16:]
    data = octets[68:68 + size]
    after, = struct.unpack_from(">I", octets, 60)
    assert after == (3 if index == 2 else 2 if index == 0 else 0)
    # Beside the next block's number all is given.
    built = block_message(ident, index, data, iv, algo)
    assert octets == built[:60] + words(after) + built[64:]
    plain = AES.crypt(AES_128, site.what.secrets[ident], iv, data, False)
    assert plain == site.what.block(ident, index)


@pytest.mark.parametrize("name", ANSWERED)
def test_answered(site, talk, name):
    make_request, expect = ANSWERED[name]
    status, fields, octets = talk.say(posted(make_request(site)))
    assert status == 200
    assert fields["content-type"] == "application/octet-stream"
    assert not {"server", "set-cookie", "x-powered-by"} & set(fields)
    if name.startswith("seg") and expect is not versions:
        assert_segments(octets, expect(site))
    elif expect is None:
        kind = struct.unpack_from(">3I", octets)[2]
        at = octets.index(site.ident) + 32
        assert kind == (BLKLIST if name.startswith("list") else BLK)
        # No range, or no byte.
        assert octets[at + (0 if kind == BLKLIST else 8):][:4] == bytes(4)
    elif isinstance(expect(site), tuple):
        assert_block(octets, site, *expect(site))
    else:
        assert octets[:16] == expect(site)[:16]
        assert octets[20:] == expect(site)[20:]
    assert talk.is_open()


# Malformed: refused, and the connection is closed.
def ident_of(size):
    return request(GETBLKS, words(size) + bytes(96) + words(1, 0, 1, 0))


REFUSED = {
    "empty": b"",
    "15-bytes": bytes(15),
    "16-zeros": bytes(16),
    "nego-short": request(NEGO_REQ, words(1)),
    "nego-long": request(NEGO_REQ, words(1, 2, 3)),
    "nego-major": request(NEGO_REQ, words(1, 2), major=0xFEFE),
    "nego-resp": request(NEGO_RESP, words(1, 2)),
    "blk": request(BLK, sized(NOBODY) + words(0, 0, 0, 0, 0)),
    "blklist": request(BLKLIST, sized(NOBODY) + words(0, 0)),
    "seglist": request(SEGLIST, RID + words(0, 0), 2),
    "type": request(0xFEFE, words(1, 2)),
    "algo-4": getblks(NOBODY, (0, 1), algo=4),
    "size-more": request(GETBLKS, sized(NOBODY) + words(1, 0, 1, 0),
                         size=69),
    "size-less": request(GETBLKS, sized(NOBODY) + words(1, 0, 1, 0),
                         size=67),
    "size-max": request(GETBLKS, sized(NOBODY) + words(1, 0, 1, 0),
                        size=0xFFFFFFFF),
    "trailing": getblks(NOBODY, (0, 1)) + b"x",
    "blks-0": getblks(NOBODY),
    "blks-count": getblks(NOBODY, (0, 1), count=10),
    "list-count": getblklist(NOBODY, (0, 1), count=10),
    "list-count-max": getblklist(NOBODY, (0, 1), count=0x20000001),
    "list-257": getblklist(NOBODY, *[(i, 1) for i in range(257)]),
    "id-0": getblks(b"", (0, 1)),
    "id-31": getblks(bytes(31), (0, 1)),
    "id-33": getblks(bytes(33), (0, 1)),
    "id-65": getblks(bytes(65), (0, 1)),
    "id-max": ident_of(0xFFFFFFFF),
    "id-max-pad": ident_of(0xFFFFFFFD),
    "seg-0": getseglist(),
    "seg-count": getseglist(NOBODY, count=2),
    "seg-count-max": getseglist(NOBODY, count=0x8000001),
    "transport": message(GETBLKS, sized(NOBODY) + words(1, 0, 1, 0)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(talk, name):
    status, _, octets = talk.say(posted(REFUSED[name]))
    if name == "blks-0":
        # As one of none.
        assert (status, len(octets)) in ((200, 76), (400, 0))
        return
    assert (status, octets) == (400, b"")
    assert not talk.is_open()


def test_every_cut(site):
    """Each message at each length."""
    for whole in (getblks(site.ident, (0, 1)), getblklist(site.ident, (0, 4)),
                  getseglist(site.ident), request(NEGO_REQ, words(1, 2))):
        for size in range(len(whole)):
            cut = bytearray(whole[:size])
            for fixed in (False, True):
                if fixed and size >= 16:
                    cut[8:12] = words(size)
                talk = Talk(site.host, site.server)
                status, _, octets = talk.say(posted(bytes(cut)))
                # The last field may be missing.
                assert status == 400 or fixed and len(octets) < 200, size
                assert status != 400 or octets == b""
                talk.close()


@pytest.mark.parametrize("octets, status, more", [
    (posted(b"", "/"), 404, None),
    (posted(b"", PATH + "x"), 404, None),
    (posted(b"", PATH[:-2]), 404, None),
    (posted(b"", method="PUT"), 405, "post"),
    (f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 405, "post"),
    (f"POST {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 411, None),
    (posted(b"", length=REQUEST_MAX + 1), 413, None),
    (posted(b"", length=1 << 70), 400, None),
    (b"POST / SMTP/1.1\r\n\r\n", 400, None),
    (b"\0" * 100, 400, None)])
def test_http_refusals(site, talk, octets, status, more):
    found, fields, body = talk.say(octets)
    assert body == b""
    assert found == status or status == 400 and found == 413
    if more:
        assert fields["allow"] == more


def test_head_that_never_ends(site, talk):
    talk.socket.sendall(f"POST {PATH} HTTP/1.1\r\n".encode())
    try:
        for _ in range(100):
            talk.socket.sendall(b"X: " + b"y" * 1000 + b"\r\n")
        status, _, body = talk.hear()
    except (ConnectionError, EOFError):
        return
    assert status in (400, 413, 431) and body == b""


@pytest.mark.parametrize("path", [
    PATH, PATH.lower(), PATH.upper(), PATH[:-1],
    "/{116B50EB-ECE2-41ac-8429-9F9E963361B7}",
    "/{116b50eb-ece2-41ac-8429-9f9e963361b7}/",
    "http://10.77.0.1" + PATH])
def test_paths(site, talk, path):
    status, _, octets = talk.say(posted(getblks(site.ident, (0, 1)), path))
    assert status == 200
    assert_block(octets, site, site.ident, 0)


def test_chunked_and_pipelined(site, talk):
    body = getblks(site.ident, (2, 1))
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(body[at:at + 7]),
                                         body[at:at + 7])
                      for at in range(0, len(body), 7)) + b"0\r\n\r\n"
    whole = (f"POST {PATH} HTTP/1.1\r\nHost: x\r\n"
             f"Transfer-Encoding: chunked\r\n\r\n").encode() + pieces
    # What follows a chunked body is not looked at: see http_conn_read.c.
    talk.socket.sendall(posted(getblks(site.ident, (3, 1))) * 2 + whole * 2)
    for index in (3, 3, 2):
        status, _, octets = talk.hear()
        assert status == 200
        assert_block(octets, site, site.ident, index)
    assert not talk.is_open()


def test_byte_by_byte(site, talk):
    talk.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in posted(getblks(site.ident, (0, 1))):
        talk.socket.send(bytes([octet]))
    status, _, octets = talk.hear()
    assert status == 200
    assert_block(octets, site, site.ident, 0)
