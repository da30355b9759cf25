# SPDX-License-Identifier: BSD-2-Clause
"""The habits of two clients that cannot be run here, byte by byte.

iPXE asks for each segment in a Probe of version 1 of its own, with upper-case
digits whatever the version of the content, twice with the same UUID, by both
groups.  It looks for literal strings in answers.  It asks the last peer it
found for everything else too, blocks only, up to 32 at a time.

Windows asks for many segments of version 2 in one Probe, for a list of blocks,
and then for one block after the other on one connection; it never negotiates.

All readers of answers here are written apart from the project's and from the
other tests' own.
"""

import base64
import hashlib
import re
import socket
import struct
import threading

import pytest

from bad_peer import AES
from conftest import DEADLINE
from lab import (BLOCK, GROUP_4, GROUP_6, PROBE_PORT, lab_of, make, needs_lab)
from pace import Stopwatch

pytestmark = needs_lab
AES_128 = 1

PROBE_1 = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<soap:Envelope '
    'xmlns:soap="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:wsd="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:PeerDist="http://schemas.microsoft.com/p2p/2007/09/'
    'PeerDistributionDiscovery">'
    '<soap:Header>'
    '<wsa:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</wsa:To>'
    '<wsa:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe'
    '</wsa:Action>'
    '<wsa:MessageID>urn:uuid:{uuid}</wsa:MessageID>'
    '</soap:Header>'
    '<soap:Body>'
    '<wsd:Probe>'
    '<wsd:Types>PeerDist:PeerDistData</wsd:Types>'
    '<wsd:Scopes MatchBy="http://schemas.xmlsoap.org/ws/2005/04/discovery/'
    'strcmp0">{scopes}</wsd:Scopes>'
    '</wsd:Probe>'
    '</soap:Body>'
    '</soap:Envelope>')

PROBE_2 = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<soap:Envelope '
    'xmlns:soap="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:wsd="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:PeerDist="http://schemas.microsoft.com/p2p/2007/09/'
    'PeerDistributionDiscovery">'
    '<soap:Header>'
    '<wsa:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</wsa:To>'
    '<wsa:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe'
    '</wsa:Action>'
    '<wsa:MessageID>urn:uuid:{uuid}</wsa:MessageID>'
    '</soap:Header>'
    '<soap:Body>'
    '<wsd:Probe>'
    '<wsd:Types>PeerDist:PeerDistDataV2</wsd:Types>'
    '<wsd:Scopes MatchBy="http://schemas.microsoft.com/p2p/2010/05/'
    'PeerDistV2MatchingRule">{scopes}</wsd:Scopes>'
    '</wsd:Probe>'
    '</soap:Body>'
    '</soap:Envelope>')

# iPXE has no Content-Type, and its requests are of version 1.0, AES-128, one
# block.
POST = ("POST /116B50EB-ECE2-41ac-8429-9F9E963361B7/ HTTP/1.1\r\n"
        "Connection: keep-alive\r\n"
        "User-Agent: iPXE/1.21.1\r\n"
        "Host: {host}\r\n"
        "Content-Length: {length}\r\n"
        "\r\n")

WINDOWS_POST = ("POST /116B50EB-ECE2-41AC-8429-9F9E963361B7/ HTTP/1.1\r\n"
                "Connection: Keep-Alive\r\n"
                "Content-Type: application/octet-stream\r\n"
                "User-Agent: Microsoft-PeerDist/1.0\r\n"
                "Content-Length: {length}\r\n"
                "Host: {host}\r\n"
                "\r\n")


# iPXE's reading of an answer.

def tagged(text, tag):
    """What stands between the literal tags, or None."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    begin = text.find(opening)
    if begin < 0:
        return None
    begin += len(opening)
    end = text.find(closing, begin)
    return None if end < 0 else text[begin:end]


def found_by_ipxe(octets):
    """Locations and the ids of segments, or why iPXE would drop the answer."""
    text = octets.decode("ascii")
    scopes = tagged(text, "wsd:Scopes")
    if scopes is None:
        return "missing Scopes"
    locations = tagged(text, "wsd:XAddrs")
    if locations is None:
        return "missing XAddrs"
    counts = tagged(text, "PeerDist:BlockCount")
    if counts is None:
        return "missing BlockCount"
    ids = scopes.split()
    kept = []
    for ident in ids:
        if len(counts) < 8:
            return "too many segment IDs"
        count, counts = counts[:8], counts[8:]
        if not re.fullmatch("[0-9A-Fa-f]{8}", count):
            return "invalid block count"
        if int(count, 16) > 0:
            kept.append(ident)
    return locations.split(), kept


class Asker:
    """Sockets of one host that ask both groups."""

    def __init__(self, host):
        self.host = host
        four = host.net.socket(socket.AF_INET, socket.SOCK_DGRAM)
        four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                        socket.inet_aton(host.v4()))
        six = host.net.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        index = int(host.net.read("if_inet6").split("eth0")[0].split()[-4], 16)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        self.sockets = ((four, (GROUP_4, PROBE_PORT)),
                        (six, (GROUP_6, PROBE_PORT, 0, index)))
        for each, _ in self.sockets:
            each.settimeout(DEADLINE)

    def ask(self, text, repeats=2):
        for _ in range(repeats):
            for each, group in self.sockets:
                each.sendto(text.encode("ascii"), group)

    def answers(self):
        """One of each family."""
        return [each.recv(65536) for each, _ in self.sockets]

    def more(self):
        """Those that are here by now."""
        found = []
        for each, _ in self.sockets:
            each.setblocking(False)
            try:
                while True:
                    found.append(each.recv(65536))
            except BlockingIOError:
                pass
            each.settimeout(DEADLINE)
        return found

    def close(self):
        for each, _ in self.sockets:
            each.close()


# Retrieval.

def getblks(ident, block, algo=AES_128):
    return (bytes.fromhex("00000001 00000003 00000044") +
            struct.pack(">II", algo, 32) + ident +
            struct.pack(">IIII", 1, block, 1, 0))


def getblklist(ident, *ranges):
    return (bytes.fromhex("00000001 00000002") +
            struct.pack(">III", 56 + 8 * len(ranges), AES_128, 32) + ident +
            struct.pack(">I", len(ranges)) +
            b"".join(struct.pack(">II", *r) for r in ranges))


EMPTY = "0000004800000001000000050000004800000000"


def empty_block(ident, block):
    return (bytes.fromhex(EMPTY) + struct.pack(">I", 32) + ident +
            struct.pack(">IIIII", block, 0, 0, 0, 0))


class Http:
    """One connection to the retrieval server."""

    def __init__(self, host, server, family=socket.AF_INET):
        where = server.v4() if family == socket.AF_INET else server.v6()
        self.name = where if family == socket.AF_INET else f"[{where}]"
        self.socket = host.net.socket(family)
        self.socket.settimeout(DEADLINE)
        self.socket.connect((where, 80))
        self.received = b""

    def send(self, body, head=POST):
        self.socket.sendall(head.format(
            host=self.name, length=len(body)).encode("ascii") + body)

    def more(self):
        octets = self.socket.recv(1 << 20)
        assert octets, "closed"
        self.received += octets

    def receive(self):
        while b"\r\n\r\n" not in self.received:
            self.more()
        head, _, body = self.received.partition(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")
        assert lines[0] == "HTTP/1.1 200 OK"
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        assert fields.get("connection", "keep-alive") == "keep-alive"
        size = int(fields["content-length"])
        while len(body) < size:
            self.received = b""
            self.more()
            body += self.received
        self.received = body[size:]
        return body[:size]

    def ask(self, body, head=POST):
        self.send(body, head)
        return self.receive()

    def close(self):
        self.socket.close()


def opened_by_ipxe(octets, what, ident, block):
    """The checks of iPXE on a MSG_BLK, then its bytes; None: an empty one."""
    _, _, kind, _, algo, size = struct.unpack_from(">6I", octets)
    assert kind == 5 and algo <= 3 and size == 32
    assert octets[24:56] == ident
    index, _, length = struct.unpack_from(">III", octets, 56)
    assert index == block
    if length == 0:
        return None
    data = octets[68:68 + length]
    at = 68 + length + -length % 4
    vrf, = struct.unpack_from(">I", octets, at)
    at += 4 + vrf + -vrf % 4
    iv_size, = struct.unpack_from(">I", octets, at)
    iv = octets[at + 4:at + 4 + iv_size]
    assert len(iv) == iv_size == 16 and length % 16 == 0
    assert algo == AES_128
    wanted = what.block(ident, block)
    assert length >= len(wanted)
    plain = AES.crypt(AES_128, what.secrets[ident], iv, data, False,
                      padded=False)
    return plain[:len(wanted)]


class Place:
    """A daemon that has two contents, and a host without a daemon."""

    def __init__(self, lab):
        self.server, self.host = lab.hosts
        # The last block may be short.
        self.whole = {v: make(6 * BLOCK + 99, v) for v in (1, 2)}
        self.some = make(8 * BLOCK, 1)
        self.server.start(Upload__MaxSessions="256")
        for what in self.whole.values():
            self.server.gives(what)
        self.held = [0, 1, 2, 5, 7]
        self.server.gives(self.some, self.held)
        self.asker = Asker(self.host)
        lab.stack.callback(self.asker.close)
        self.uuids = 0

    def uuid(self):
        self.uuids += 1
        return f"10000000-0000-4000-8000-{self.uuids:012x}"


@pytest.fixture(scope="module")
def place():
    with lab_of(2) as lab:
        yield Place(lab)


# iPXE.

@pytest.mark.parametrize("version", [1, 2])
def test_ipxe_finds_each_segment(place, version):
    """Also what is of version 2 by a Probe of version 1."""
    what = place.whole[version]
    for ident in what.ids[:3]:
        scope = ident.hex().upper()
        uuid = place.uuid()
        place.asker.ask(PROBE_1.format(uuid=uuid, scopes=scope))
        four, six = place.asker.answers()
        found = [found_by_ipxe(four), found_by_ipxe(six)]
        assert found == [([f"{place.server.v4()}:80"], [scope]),
                         ([f"[{place.server.v6()}]:80"], [scope])]
        for octets in (four, six):
            text = octets.decode("ascii")
            assert tagged(text, "wsa:RelatesTo") == f"urn:uuid:{uuid}"
            assert tagged(text, "PeerDist:BlockCount") == (
                f"{7 if version == 1 else 1:08X}")
            assert tagged(text, "wsd:Types") == "PeerDist:PeerDistData"


def test_ipxe_repeats_are_one_question(place):
    """By whichever group it comes."""
    ident = place.whole[1].ids[0].hex().upper()
    place.asker.ask(PROBE_1.format(uuid=place.uuid(), scopes=ident), 5)
    place.asker.answers()
    # A later question is answered behind all answers to the one before, unless
    # it is luckier: five of them are not.
    for _ in range(5):
        place.asker.ask(PROBE_1.format(uuid=place.uuid(), scopes=ident), 1)
        place.asker.answers()
    assert place.asker.more() == []


def test_ipxe_some_blocks(place):
    ident = place.some.ids[0].hex().upper()
    place.asker.ask(PROBE_1.format(uuid=place.uuid(), scopes=ident))
    for octets in place.asker.answers():
        assert tagged(octets.decode(), "PeerDist:BlockCount") == "00000005"


def test_scopes_come_back_as_they_were(place):
    """Their case, and those that are held only, in their order."""
    ids = [i.hex() for i in (*place.whole[1].ids, *place.whole[2].ids[:2])]
    asked = [ids[2].upper(), "0" * 64, ids[0].lower(), "AB" * 32,
             ids[1].capitalize()]
    scopes = "\r\n  " + " \n".join(asked) + "\t"
    place.asker.ask(PROBE_1.format(uuid=place.uuid(), scopes=scopes))
    for octets in place.asker.answers():
        _, kept = found_by_ipxe(octets)
        assert kept == [asked[0], asked[2], asked[4]]
        assert tagged(octets.decode(), "PeerDist:BlockCount") == (
            "000000010000000700000001")


def test_not_held_is_not_answered(place):
    """Nor is nonsense; whoever asks well afterwards is."""
    ident = place.whole[1].ids[0].hex().upper()
    for scopes in ("AB" * 32, ident[1:], ident + "0", "", ident[:-1] + "G"):
        place.asker.ask(PROBE_1.format(uuid=place.uuid(), scopes=scopes))
    for _ in range(5):
        place.asker.ask(PROBE_1.format(uuid=place.uuid(), scopes=ident))
        for octets in place.asker.answers():
            assert found_by_ipxe(octets)[1] == [ident]
    assert place.asker.more() == []


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_ipxe_gets_all_blocks(place, version, family):
    what = place.whole[version]
    link = Http(place.host, place.server, family)
    ivs = set()
    for unit, (ident, block) in enumerate(what.keys):
        octets = link.ask(getblks(ident, block))
        assert opened_by_ipxe(octets, what, ident, block) == what.unit(unit)
        ivs.add(octets[-16:])
        # Nothing else in it.
        length = len(what.unit(unit)) // 16 * 16 + 16
        assert len(octets) == 4 + 88 + length
        assert octets[:24] == struct.pack(
            ">6I", 88 + length, 1, 5, 88 + length, AES_128, 32)
    assert len(ivs) == len(what.keys)
    link.close()


def test_ipxe_32_at_once(place):
    """Each on a connection of its own, and more than once on each."""
    what = place.whole[1]
    links = [Http(place.host, place.server) for _ in range(32)]
    for turn in range(3):
        for i, link in enumerate(links):
            ident, block = what.keys[(i + turn) % len(what.keys)]
            link.send(getblks(ident, block))
        for i, link in enumerate(links):
            unit = (i + turn) % len(what.keys)
            ident, block = what.keys[unit]
            found = opened_by_ipxe(link.receive(), what, ident, block)
            assert found == what.unit(unit)
    for link in links:
        link.close()


def test_ipxe_asks_for_what_was_never_announced(place):
    """Misses: the exact empty message, fast, over the same connection."""
    link = Http(place.host, place.server)
    what = place.some
    ident = what.ids[0]
    watch = Stopwatch(place.server.daemon.process.pid)
    for i in range(300):
        strange = hashlib.sha256(b"%d" % i).digest()
        assert link.ask(getblks(strange, i % 512)) == empty_block(
            strange, i % 512)
    for unit in range(len(what.units)):
        octets = link.ask(getblks(ident, unit))
        if unit in place.held:
            assert opened_by_ipxe(octets, what, ident, unit) == (
                what.unit(unit))
        else:
            assert octets == empty_block(ident, unit)
    assert link.ask(getblks(ident, 511)) == empty_block(ident, 511)
    assert watch.read() < DEADLINE / 2
    link.close()


def test_other_wishes_for_a_cipher(place):
    """Whatever is asked for, it is sent as it is stored, and never plain."""
    what = place.whole[1]
    ident = what.ids[0]
    link = Http(place.host, place.server)
    for algo in range(4):
        octets = link.ask(getblks(ident, 1, algo))
        assert opened_by_ipxe(octets, what, ident, 1) == what.unit(1)
    link.close()


# Windows.

def bits_of(octets, count):
    packed = base64.b64decode(tagged(octets.decode(), "wsd:Scopes"),
                              validate=True)
    assert len(packed) == (2 * count + 7) // 8
    number = int.from_bytes(packed, "big") >> (8 * len(packed) - 2 * count)
    return [number >> 2 * (count - 1 - i) & 3 for i in range(count)]


def test_windows_asks_for_many(place):
    """All that fits into one Probe; some are not held, one in part."""
    held = place.whole[2].ids
    ids = [*held[:3], hashlib.sha256(b"none").digest(), *held[3:],
           place.some.ids[0], place.whole[1].ids[0], bytes(32)]
    packed = struct.pack(">HB", 32, len(ids)) + b"".join(ids)
    place.asker.ask(PROBE_2.format(
        uuid=place.uuid(), scopes=base64.b64encode(packed).decode()))
    complete, part, none = 3, 2, 0
    wanted = ([complete] * 3 + [none] + [complete] * len(held[3:]) +
              [part, complete, none])
    for octets in place.asker.answers():
        text = octets.decode()
        # Of a segment of version 1 this host does not know the whole.
        got = bits_of(octets, len(ids))
        assert got[:-2] == wanted[:-2] and got[-1] == none
        assert got[-2] in (part, complete)
        assert tagged(text, "wsd:MetadataVersion") == "2"
        ages = base64.b64decode(tagged(text, "PeerDist:SegmentAges"))
        assert ages[:2] == b"\0\1" and 1 <= ages[2] <= 4
        assert len(ages) == 4 + 4 * ages[3]
        named = {ages[4 + 4 * i] for i in range(ages[3])}
        assert named <= {i for i, bit in enumerate(got) if bit}


def test_windows_gets_list_then_blocks(place):
    what = place.some
    ident = what.ids[0]
    link = Http(place.host, place.server)
    octets = link.ask(getblklist(ident, (0, 4), (6, 2)), WINDOWS_POST)
    runs = [(0, 3), (7, 1)]
    body = struct.pack(">I", 32) + ident + struct.pack(">I", len(runs))
    body += b"".join(struct.pack(">II", *r) for r in runs)
    assert octets[:24] == struct.pack(
        ">6I", 20 + len(body), 1, 4, 20 + len(body),
        struct.unpack_from(">I", octets, 16)[0], 32)
    assert octets[20:20 + len(body)] == body
    assert octets[20 + len(body):] == struct.pack(">I", 0)
    for at, count in runs:
        for block in range(at, at + count):
            octets = link.ask(getblks(ident, block), WINDOWS_POST)
            assert opened_by_ipxe(octets, what, ident, block) == (
                what.unit(block))
    nobody = hashlib.sha256(b"nobody").digest()
    octets = link.ask(getblklist(nobody, (0, 512)), WINDOWS_POST)
    assert octets == struct.pack(
        ">6I", 60, 1, 4, 60, struct.unpack_from(">I", octets, 16)[0],
        32) + nobody + struct.pack(">II", 0, 0)
    link.close()


def test_windows_and_ipxe_together(place):
    """Several of both, each on its own connections, each byte compared."""
    faults = []

    def client(head, seed):
        try:
            link = Http(place.host, place.server)
            for turn in range(30):
                what = place.whole[1 + (seed + turn) % 2]
                unit = (seed * 7 + turn) % len(what.keys)
                ident, block = what.keys[unit]
                found = opened_by_ipxe(link.ask(getblks(ident, block), head),
                                       what, ident, block)
                assert found == what.unit(unit)
            link.close()
        except BaseException as error:  # told below
            faults.append(error)

    threads = [threading.Thread(target=client, args=(head, i))
               for i in range(6) for head in (POST, WINDOWS_POST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert not faults and not any(t.is_alive() for t in threads)
    assert place.server.status["uploads"]["running"] == 0
