# SPDX-License-Identifier: BSD-2-Clause
"""Hosts that answer Probes and then serve blocks, well or badly.

Written apart from the project's encoders, from the documents: literal
templates, sizes by hand.  A Street is the part of a host that hears Probes, with
any number of peers, each with an address of its own, some content, and a
conduct: what it does when it is asked.
"""

import base64
import contextlib
import ctypes
import os
import select
import socket
import struct
import threading
import uuid

PATH = b"/116b50eb-ece2-41ac-8429-9f9e963361b7"
NEGO_REQ, NEGO_RESP, GETBLKLIST, GETBLKS, BLKLIST, BLK = range(6)
SEGLIST = 7
PLAIN, AES_128, AES_192, AES_256 = range(4)
GROUP, PORT = "239.255.255.250", 3702
SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
PEERDIST = "http://schemas.microsoft.com/p2p/2007/09/PeerDistributionDiscovery"


# AES-CBC.

class Aes:
    NAMES = {AES_128: ("EVP_aes_128_cbc", 16), AES_192: ("EVP_aes_192_cbc", 24),
             AES_256: ("EVP_aes_256_cbc", 32)}

    def __init__(self):
        self.lib = lib = ctypes.CDLL("libcrypto.so.3")
        p, i, s = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        lib.EVP_CIPHER_CTX_new.restype = p
        lib.EVP_CIPHER_CTX_free.argtypes = [p]
        lib.EVP_CIPHER_CTX_set_padding.argtypes = [p, i]
        for name, _ in self.NAMES.values():
            getattr(lib, name).restype = p
        lib.EVP_CipherInit_ex.argtypes = [p, p, p, s, s, i]
        lib.EVP_CipherUpdate.argtypes = [p, p, ctypes.POINTER(i), s, i]
        lib.EVP_CipherFinal_ex.argtypes = [p, p, ctypes.POINTER(i)]

    def crypt(self, algo, kp, iv, octets, seal, padded=True):
        lib = self.lib
        name, size = self.NAMES[algo]
        out = ctypes.create_string_buffer(len(octets) + 16)
        n, last = ctypes.c_int(), ctypes.c_int()
        ctx = lib.EVP_CIPHER_CTX_new()
        try:
            ok = lib.EVP_CipherInit_ex(ctx, getattr(lib, name)(), None,
                                       kp[:size], iv, int(seal))
            ok &= lib.EVP_CIPHER_CTX_set_padding(ctx, int(padded))
            ok &= lib.EVP_CipherUpdate(ctx, out, ctypes.byref(n), octets,
                                       len(octets))
            ok &= lib.EVP_CipherFinal_ex(ctx, ctypes.byref(out, n.value),
                                         ctypes.byref(last))
        finally:
            lib.EVP_CIPHER_CTX_free(ctx)
        if ok != 1:
            raise ValueError("AES")
        return out.raw[:n.value + last.value]


AES = Aes()


# Retrieval messages.

def words(*values):
    return struct.pack(f">{len(values)}I", *values)


def sized(octets, size=None, last=False):
    pad = b"" if last else bytes(-len(octets) % 4)
    return words(len(octets) if size is None else size) + octets + pad


def message(kind, body, algo=0, major=1, wrong_size=0, wrong_outer=0):
    size = 16 + len(body)
    return words(size + wrong_outer, major, kind, size + wrong_size,
                 algo) + body


def block_message(ident, index, data=b"", iv=b"", algo=0, vrf=b"",
                  data_size=None, iv_size=None, id_size=None, **wrong):
    return message(BLK, sized(ident, id_size) + words(index, 0) +
                   sized(data, data_size) + sized(vrf) +
                   sized(iv, iv_size, last=True), algo, **wrong)


def list_message(ident, ranges, after=0, count=None):
    if count is None:
        count = len(ranges)
    return message(BLKLIST, sized(ident) + words(count) + b"".join(
        words(*r) for r in ranges) + words(after))


def nego_message(lowest=1, highest=2):
    return message(NEGO_RESP, words(lowest, highest))


class Request:
    def __init__(self, octets):
        _, self.kind, self.size, _ = struct.unpack_from(">4I", octets)
        self.major = octets[3]
        assert self.size == len(octets)
        self.ident, self.ranges = None, []
        if self.kind in (GETBLKLIST, GETBLKS):
            size, = struct.unpack_from(">I", octets, 16)
            self.ident = octets[20:20 + size]
            at = 20 + size + -size % 4
            count, = struct.unpack_from(">I", octets, at)
            self.ranges = [struct.unpack_from(">II", octets, at + 4 + 8 * i)
                           for i in range(count)]
            self.index = self.ranges[0][0]


# Answers to Probes.

def answer(relates, scopes, addresses, extra, version=1, types=None):
    kind = "PeerDistData" if version == 1 else "PeerDistDataV2"
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope '
        f'xmlns:soap="{SOAP}" xmlns:wsa="{WSA}" xmlns:wsd="{WSD}" '
        f'xmlns:PeerDist="{PEERDIST}"><soap:Header><wsa:To>{WSA}'
        f'/role/anonymous</wsa:To><wsa:Action>{WSD}/ProbeMatches'
        f'</wsa:Action><wsa:MessageID>urn:uuid:{uuid.uuid4()}'
        f'</wsa:MessageID><wsa:RelatesTo>{relates}</wsa:RelatesTo>'
        f'<wsd:AppSequence InstanceId="1750000000" MessageNumber="1">'
        f'</wsd:AppSequence></soap:Header><soap:Body><wsd:ProbeMatches>'
        f'<wsd:ProbeMatch><wsa:EndpointReference><wsa:Address>urn:uuid:'
        f'9b9a8c5e-6d1d-4a25-8a36-0e5b7c1d2f33</wsa:Address>'
        f'</wsa:EndpointReference><wsd:Types>{types or "PeerDist:" + kind}'
        f'</wsd:Types><wsd:Scopes>{scopes}</wsd:Scopes><wsd:XAddrs>'
        f'{addresses}</wsd:XAddrs><wsd:MetadataVersion>{version}'
        f'</wsd:MetadataVersion><PeerDist:PeerDistData>{extra}'
        f'</PeerDist:PeerDistData></wsd:ProbeMatch></wsd:ProbeMatches>'
        f'</soap:Body></soap:Envelope>').encode()


def between(text, begin, end):
    at = text.index(begin) + len(begin)
    return text[at:text.index(end, at)]


class Probe:
    """As our own daemon writes it, found by its literal strings."""

    def __init__(self, octets):
        text = octets.decode()
        self.relates = between(text, "<wsa:MessageID>", "</wsa:MessageID>")
        self.version = 2 if "PeerDistDataV2" in text else 1
        scopes = between(between(text, "<wsd:Scopes", "/wsd:Scopes>"), ">",
                         "<")
        if self.version == 1:
            self.ids = [bytes.fromhex(word) for word in scopes.split()]
        else:
            packed = base64.b64decode(scopes)
            size, count = struct.unpack_from(">HB", packed)
            self.ids = [packed[3 + size * i:3 + size * (i + 1)]
                        for i in range(count)]

    def held(self, ids, count=8):
        """Scopes and data of an answer by somebody who has these."""
        if self.version == 1:
            found = [i for i in self.ids if i in ids]
            return (" ".join(i.hex().upper() for i in found),
                    "<PeerDist:BlockCount>" + f"{count:08X}" * len(found) +
                    "</PeerDist:BlockCount>")
        bits = "".join("11" if i in ids else "00" for i in self.ids)
        bits += "0" * (-len(bits) % 8)
        packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
        return base64.b64encode(packed).decode(), ""


def honest_answer(peer, probe):
    scopes, extra = probe.held(peer.what.secrets)
    return [answer(probe.relates, scopes, f"{peer.address}:80", extra,
                   probe.version)]


class Street:
    def __init__(self, host):
        self.host = host
        self.peers = []
        self.by_id = {}
        self.socket = host.net.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("", PORT))
        self.socket.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
            socket.inet_aton(GROUP) + socket.inet_aton(host.v4()))
        self.ends, self.end = os.pipe()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def add(self, number, what, conduct=None, answers=honest_answer):
        peer = Peer(self, number, what, conduct, answers)
        self.peers.append(peer)
        for ident in what.ids:
            self.by_id.setdefault(ident, []).append(peer)
        return peer

    def run(self):
        while True:
            ready, _, _ = select.select([self.socket, self.ends], [], [])
            if self.ends in ready:
                return
            octets, source = self.socket.recvfrom(65536)
            with contextlib.suppress(ValueError, struct.error):
                self.heard(Probe(octets), source)

    def heard(self, probe, source):
        asked = {peer for ident in probe.ids
                 for peer in self.by_id.get(ident, ())}
        for peer in asked:
            for datagram in peer.answers(peer, probe):
                # Where it should go may have just gone.
                with contextlib.suppress(OSError):
                    peer.mouth.sendto(datagram, source)

    def close(self):
        os.write(self.end, b"x")
        self.thread.join()
        for peer in self.peers:
            peer.close()
        self.socket.close()
        os.close(self.ends)
        os.close(self.end)


class Link:
    """One connection."""

    def __init__(self, peer, connection):
        self.peer = peer
        self.connection = connection
        self.received = b""
        self.turns = 0

    def send(self, octets):
        self.connection.sendall(octets)

    def more(self):
        octets = self.connection.recv(65536)
        if not octets:
            raise ConnectionResetError
        self.received += octets

    def receive(self):
        while b"\r\n\r\n" not in self.received:
            self.more()
        head, _, rest = self.received.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        size, = [int(f.split(b":")[1]) for f in fields
                 if f.lower().startswith(b"content-length:")]
        assert line.split(b" ")[0] == b"POST"
        assert line.split(b" ")[1].lower().rstrip(b"/") == PATH
        while len(rest) < size:
            self.received = b""
            self.more()
            rest += self.received
        self.received = rest[size:]
        return Request(rest[:size])

    def wait_for_close(self):
        while self.connection.recv(65536):
            pass

    def pause(self, seconds):
        """Unless the peer ends."""
        self.peer.ending.wait(seconds)


class Peer:
    def __init__(self, street, number, what, conduct, answers):
        self.street = street
        self.address = street.host.v4(0, number)
        self.what = what
        self.answers = answers
        self.conduct = conduct
        self.requests = []
        self.ending = threading.Event()
        self.links = set()
        self.mouth = street.host.net.socket(socket.AF_INET,
                                            socket.SOCK_DGRAM)
        self.mouth.bind((self.address, 0))
        self.listener = street.host.net.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.address, 80))
        if conduct is not None:
            self.listener.listen(64)
            threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP,
                                      socket.TCP_NODELAY, 1)
                self.links.add(connection)
                threading.Thread(target=self.serve, args=(connection,),
                                 daemon=True).start()

    def serve(self, connection):
        link = Link(self, connection)
        with contextlib.suppress(OSError), connection:
            self.conduct.begin(self, link)
            while not self.ending.is_set():
                request = link.receive()
                self.requests.append(request)
                link.turns += 1
                self.conduct.answer(self, link, request)
        self.links.discard(connection)

    # What an honest peer would say.

    def list(self, request):
        held = [index for ident, index in self.what.keys
                if ident == request.ident]
        wanted = [i for at, count in request.ranges
                  for i in range(at, at + count) if i in held]
        return list_message(request.ident, [(i, 1) for i in wanted])

    def block(self, request, algo=AES_128, padded=True, **wrong):
        plain = self.what.block(request.ident, request.index)
        if plain is None:
            return block_message(request.ident, request.index)
        return self.sealed(request, plain, algo, padded, **wrong)

    def sealed(self, request, plain, algo=AES_128, padded=True, **wrong):
        """These bytes as the block that is asked for."""
        iv = os.urandom(16)
        data = AES.crypt(algo, self.what.secrets[request.ident], iv, plain,
                         True, padded)
        given = {"ident": request.ident, "index": request.index, "data": data,
                 "iv": iv, "algo": algo, **wrong}
        return block_message(**given)

    def right(self, request):
        if request.kind == GETBLKLIST:
            return self.list(request)
        return self.block(request)

    def close(self):
        self.ending.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self.links):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.mouth.close()


def http(octets, status="200 OK", length=None, more=""):
    size = len(octets) if length is None else length
    return (f"HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\n"
            f"{more}Content-Length: {size}\r\n\r\n").encode() + octets


# Conducts.
#
# gives: whether a reader gets his bytes from such a peer: True, False, or None
# if either will do.  mark: what `peers ls` counts of it, if that is certain.

class Conduct:
    def __init__(self, gives, mark):
        self.gives = gives
        self.mark = mark

    def begin(self, peer, link):
        pass

    def answer(self, peer, link, request):
        raise NotImplementedError


class Blocks(Conduct):
    """make(peer, request): the answer to MSG_GETBLKS."""

    def __init__(self, make, gives, mark="bad"):
        super().__init__(gives, mark)
        self.make = make

    def answer(self, peer, link, request):
        if request.kind == GETBLKLIST:
            link.send(http(peer.list(request)))
        else:
            link.send(http(self.make(peer, request)))


class Lists(Conduct):
    """make(peer, request): the answer to MSG_GETBLKLIST.  Some blocks may have
    been asked for before that."""

    def __init__(self, make, gives=None, mark="bad"):
        super().__init__(gives, mark)
        self.make = make

    def answer(self, peer, link, request):
        if request.kind == GETBLKLIST:
            link.send(self.make(peer, request))
        else:
            link.send(http(peer.block(request)))


class Http(Conduct):
    """act(link, octets): octets is the message that is right."""

    def __init__(self, act, gives, mark=None, begin=None):
        super().__init__(gives, mark)
        self.act = act
        self.at_first = begin

    def begin(self, peer, link):
        if self.at_first:
            self.at_first(peer, link)

    def answer(self, peer, link, request):
        self.act(link, peer.right(request))


def neighbour(peer, request):
    """The next block, which is true as well."""
    keys = peer.what.keys
    at = keys.index((request.ident, request.index))
    return peer.what.unit((at + 1) % len(keys))


def plain_of(peer, request):
    return peer.what.block(request.ident, request.index)


def unpadded(peer, request):
    plain = plain_of(peer, request)
    return peer.sealed(request, plain + bytes(-len(plain) % 16), padded=False)


def plaintext(iv=b"", algo=PLAIN):
    return lambda p, r: block_message(r.ident, r.index, plain_of(p, r), iv,
                                      algo)


def with_algo(said, used):
    def make(peer, request):
        iv = os.urandom(16)
        return block_message(
            request.ident, request.index, AES.crypt(
                used, peer.what.secrets[request.ident], iv,
                plain_of(peer, request), True), iv, said)
    return make


def negotiating(times, lowest=1, highest=2):
    """A range of versions first."""
    def make(peer, request):
        asked = [r for r in peer.requests
                 if (r.kind, r.ident, r.ranges) == (
                     request.kind, request.ident, request.ranges)]
        if len(asked) <= times:
            return nego_message(lowest, highest)
        return peer.block(request)
    return make


def other_id(ident):
    return bytes([ident[0] ^ 1]) + ident[1:]


BLOCKS = {
    "good": Blocks(lambda p, r: p.block(r), True, "blocks"),
    "aes-192": Blocks(lambda p, r: p.block(r, AES_192), True, "blocks"),
    "aes-256": Blocks(lambda p, r: p.block(r, AES_256), True, "blocks"),
    "unpadded": Blocks(unpadded, True, "blocks"),
    "vrf": Blocks(lambda p, r: p.block(r, vrf=b"12345"), True, "blocks"),
    "nego-once": Blocks(negotiating(1), True, "blocks"),
    "nego-always": Blocks(negotiating(1000), False, "refused"),
    "nego-3": Blocks(negotiating(1000, 3, 3), False, "refused"),
    "nego-mad": Blocks(negotiating(1000, 0xFFFF0002, 1), False, "refused"),
    "empty": Blocks(lambda p, r: block_message(r.ident, r.index), False,
                    "empty"),
    "bytes": Blocks(lambda p, r: p.sealed(
        r, bytes(b ^ 0x55 for b in plain_of(p, r))), False),
    "zeros": Blocks(lambda p, r: p.sealed(r, bytes(len(plain_of(p, r)))),
                    False),
    "neighbour": Blocks(lambda p, r: p.sealed(r, neighbour(p, r)), False),
    "short": Blocks(lambda p, r: p.sealed(r, plain_of(p, r)[:100]), False),
    "row-short": Blocks(lambda p, r: p.sealed(r, plain_of(p, r)[:-17]), False),
    "last-byte": Blocks(lambda p, r: p.sealed(r, plain_of(p, r)[:-1] + bytes(
        [plain_of(p, r)[-1] ^ 1])), False),
    "long": Blocks(lambda p, r: p.sealed(r, plain_of(p, r) + bytes(4096)),
                   None, None),
    "too-long": Blocks(lambda p, r: p.sealed(r, bytes(140000)), False),
    "key": Blocks(lambda p, r: block_message(
        r.ident, r.index, AES.crypt(AES_128, bytes(32), bytes(16),
                                    plain_of(p, r), True), bytes(16),
        AES_128), False),
    "iv": Blocks(lambda p, r: p.block(r, iv=bytes(16)), False),
    "plain": Blocks(plaintext(), False),
    "plain-iv": Blocks(plaintext(bytes(16)), False),
    "plain-as-aes": Blocks(plaintext(bytes(16), AES_128), False),
    "algo-4": Blocks(with_algo(4, AES_128), False),
    "algo-max": Blocks(with_algo(0xFFFFFFFF, AES_128), False),
    "algo-lie": Blocks(with_algo(AES_256, AES_128), False),
    "id": Blocks(lambda p, r: p.block(r, ident=other_id(r.ident)), False),
    "id-short": Blocks(lambda p, r: p.block(r, ident=r.ident[:31]), False),
    "id-long": Blocks(lambda p, r: p.block(r, ident=r.ident * 2), False),
    "id-size": Blocks(lambda p, r: p.block(r, id_size=0xFFFFFFE0), False),
    "index": Blocks(lambda p, r: p.block(r, index=r.index + 1), False),
    "index-max": Blocks(lambda p, r: p.block(r, index=0xFFFFFFFF), False),
    "size-more": Blocks(lambda p, r: p.block(r, wrong_size=1), False),
    "size-less": Blocks(lambda p, r: p.block(r, wrong_size=-1), False),
    "size-max": Blocks(lambda p, r: p.block(r, wrong_size=0xF0000000), False),
    "outer-more": Blocks(lambda p, r: p.block(r, wrong_outer=4), False),
    "outer-less": Blocks(lambda p, r: p.block(r, wrong_outer=-4), False),
    "data-more": Blocks(lambda p, r: p.block(r, data_size=0xFFFFFFF0), False),
    "data-less": Blocks(lambda p, r: p.block(r, data_size=16), False),
    "data-odd": Blocks(lambda p, r: p.block(r, data=bytes(65537)), False),
    "iv-none": Blocks(lambda p, r: p.block(r, iv=b""), False),
    "iv-short": Blocks(lambda p, r: p.block(r, iv=bytes(8)), False),
    "iv-long": Blocks(lambda p, r: p.block(r, iv=bytes(32)), False),
    "iv-size": Blocks(lambda p, r: p.block(r, iv_size=0xFFFFFFFF), False),
    "major": Blocks(lambda p, r: p.block(r, major=9), None, None),
    "trailing": Blocks(lambda p, r: p.block(r) + bytes(100), False),
    "list-instead": Blocks(lambda p, r: p.list(r), False),
    "seglist": Blocks(lambda p, r: message(
        SEGLIST, bytes(16) + words(0, 0), major=2), False),
    "request": Blocks(lambda p, r: message(
        GETBLKS, sized(r.ident) + words(1, r.index, 1, 0)), False),
    "type-max": Blocks(lambda p, r: message(0xFFFFFFFF, bytes(64)), False),
    "html": Blocks(lambda p, r: b"<html>Please log in</html>", False),
    "nothing": Blocks(lambda p, r: b"", False),
    "header-only": Blocks(lambda p, r: message(BLK, b"", AES_128), False),
}


def whole(peer, request):
    return list_message(request.ident, [(0, 512)])


LISTS = {
    "list-none": Lists(lambda p, r: http(list_message(r.ident, [])), mark="empty"),
    "list-part": Lists(lambda p, r: http(list_message(r.ident, [(0, 2)])),
                       None, "blocks"),
    "list-more": Lists(lambda p, r: http(whole(p, r)), True, "blocks"),
    "list-404": Lists(lambda p, r: http(b"", "404 Not Found"), True,
                      "blocks"),
    "list-400": Lists(lambda p, r: http(b"", "400 Bad Request"), True,
                      "blocks"),
    "list-nego": Lists(lambda p, r: http(nego_message()), None, None),
    "list-id": Lists(lambda p, r: http(list_message(
        other_id(r.ident), [(0, 5)]))),
    "list-count": Lists(lambda p, r: http(list_message(
        r.ident, [(0, 5)], count=0x20000001))),
    "list-outside": Lists(lambda p, r: http(list_message(
        r.ident, [(512, 1)])), None, None),
    "list-huge": Lists(lambda p, r: http(list_message(
        r.ident, [(0xFFFFFFFF, 0xFFFFFFFF)])), None, None),
    "list-big": Lists(lambda p, r: http(list_message(
        r.ident, [(0, 1)] * 12000))),
    "list-block": Lists(lambda p, r: http(p.block(r))),
    "list-html": Lists(lambda p, r: http(b"<html></html>")),
    "list-then-empty": Blocks(lambda p, r: block_message(
        r.ident, r.index), False, "empty"),
}


def drip(link, octets, size=1, every=0.05):
    for at in range(0, len(octets), size):
        link.send(octets[at:at + size])
        link.pause(every)
        if link.peer.ending.is_set():
            return


def endless(link, octets):
    while not link.peer.ending.is_set():
        link.send(octets)


def silent(link, octets):
    link.wait_for_close()


def half_then_silent(link, octets):
    link.send(http(octets)[:len(octets) // 2])
    link.wait_for_close()


def half_then_gone(link, octets):
    link.send(http(octets)[:len(octets) // 2])
    raise ConnectionResetError


def reset(link, octets):
    link.send(http(octets)[:len(octets) // 2])
    link.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack("ii", 1, 0))
    raise ConnectionResetError


def gone(link, octets):
    raise ConnectionResetError


def gone_after_one(link, octets):
    """Each connection for one request only, without a word about that."""
    if link.turns > 1:
        raise ConnectionResetError
    link.send(http(octets))


def last_words(link, octets):
    """No length, but the end."""
    link.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + octets)
    raise ConnectionResetError


def chunks(octets, size=7777):
    return b"".join(b"%x\r\n%s\r\n" % (len(octets[at:at + size]),
                                       octets[at:at + size])
                    for at in range(0, len(octets), size))


def chunked(body):
    return lambda link, octets: link.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
        body(octets))


def status(line, more=""):
    return lambda link, octets: link.send(http(b"", line, more=more))


def raw(make):
    return lambda link, octets: link.send(make(octets))


def late(seconds):
    def act(link, octets):
        link.pause(seconds)
        link.send(http(octets))
    return act


def unasked(peer, link):
    """An answer before the question: of another block."""
    request = Request(message(GETBLKS, sized(peer.what.keys[-1][0]) + words(
        1, peer.what.keys[-1][1], 1, 0))[4:])
    link.send(http(peer.block(request)))


def https(patience):
    """By how long a request may take."""
    return {
        "chunked": Http(chunked(lambda o: chunks(o) + b"0\r\n\r\n"), True,
                        "blocks"),
        "last-words": Http(last_words, True, "blocks"),
        "continue": Http(raw(
            lambda o: b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + http(o)), True,
            "blocks"),
        "one-each": Http(gone_after_one, True, "blocks"),
        "slow": Http(late(patience / 8), True, "blocks"),
        "late": Http(late(patience * 1.5), False, "timeouts"),
        "silent": Http(silent, False, "timeouts"),
        "half-silent": Http(half_then_silent, False, "timeouts"),
        "drip-head": Http(lambda l, o: drip(l, http(o)), False, "timeouts"),
        "drip-body": Http(lambda l, o: drip(l, http(o), 1000), None, None),
        "drip-drop": Http(lambda l, o: drip(l, http(o), 40), None,
                          "timeouts"),
        "half": Http(half_then_gone, False, "refused"),
        "reset": Http(reset, False, "refused"),
        "gone": Http(gone, False, "refused"),
        "404": Http(status("404 Not Found"), False),
        "500": Http(status("500 Oh"), False, "refused"),
        "204": Http(status("204 No Content"), False),
        "401": Http(status("401 Unauthorized",
                           'WWW-Authenticate: Basic realm="x"\r\n'), False),
        "302": Http(status("302 Found", "Location: http://10.77.0.250:80/"
                           "116b50eb-ece2-41ac-8429-9f9e963361b7/\r\n"),
                    False),
        "0.9": Http(raw(lambda o: o), False),
        "noise": Http(raw(lambda o: b"\0\xff" * 1000), False),
        "endless-head": Http(lambda l, o: endless(
            l, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000), False),
        "long-line": Http(lambda l, o: endless(l, b"HTTP/1.1 200 " +
                                               b"O" * 4000), False),
        "endless-100": Http(lambda l, o: endless(
            l, b"HTTP/1.1 100 Continue\r\n\r\n" * 100), False),
        "endless-body": Http(lambda l, o: (l.send(
            b"HTTP/1.1 200 OK\r\n\r\n" + o), endless(l, bytes(9999))), False),
        "endless-chunks": Http(lambda l, o: (chunked(
            lambda b: b"")(l, o), endless(l, chunks(bytes(9999)))), False),
        "endless-trailer": Http(lambda l, o: (chunked(lambda b: chunks(
            b) + b"0\r\n")(l, o), endless(l, b"X: y\r\n" * 1000)), None),
        "chunk-max": Http(chunked(
            lambda o: b"ffffffffffffffff\r\n" + o), False),
        "chunk-over": Http(chunked(
            lambda o: b"1ffffffffffffffff\r\n" + o), False),
        "chunk-bad": Http(chunked(lambda o: b"zz\r\n" + o), False),
        "length-max": Http(raw(lambda o: http(o, length=1 << 32)), False),
        "length-over": Http(raw(lambda o: http(o, length=1 << 64)), False),
        "length-minus": Http(raw(lambda o: http(o, length=-1)), False),
        "length-twice": Http(raw(lambda o: http(
            o, more=f"Content-Length: {len(o) + 1}\r\n")), False),
        "length-less": Http(raw(lambda o: http(o, length=len(o) - 1)), False),
        "length-more": Http(raw(lambda o: http(o, length=len(o) + 1)), False),
        "twice": Http(raw(lambda o: http(o) * 2), None),
        "unasked": Http(raw(http), None, begin=unasked),
    }
