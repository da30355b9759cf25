# SPDX-License-Identifier: BSD-2-Clause
"""Content information from parts, so that each can be wrong."""

import hashlib
import os
import struct

BLOCK = 65536
SEGMENT = 32 << 20
SHA256 = 0x800C


def hashes(octets):
    return [hashlib.sha256(octets[i:i + BLOCK]).digest()
            for i in range(0, len(octets), BLOCK)]


class Segment:
    """A segment of version 1: as it should be, but for what is given."""

    def __init__(self, octets, start=0, kp=None, blocks=None, **wrong):
        self.octets = octets
        listed = hashes(octets)
        self.start = start
        self.length = wrong.get("length", len(octets))
        self.block_size = wrong.get("block_size", BLOCK)
        self.hod = wrong.get("hod", hashlib.sha256(b"".join(listed)).digest())
        self.kp = kp or os.urandom(32)
        self.blocks = listed if blocks is None else blocks
        self.count = wrong.get("count", len(self.blocks))

    def description(self):
        return struct.pack("<QII", self.start, self.length,
                           self.block_size) + self.hod + self.kp

    def block_list(self):
        return struct.pack("<I", self.count) + b"".join(self.blocks)


def v1(*segments, first=0, last=0, algo=SHA256, version=b"\0\1", count=None):
    if count is None:
        count = len(segments)
    return (version + struct.pack("<IIII", algo, first, last, count) +
            b"".join(s.description() for s in segments) +
            b"".join(s.block_list() for s in segments))


def partial(octets, blocks, kp):
    """The true description of the first blocks only, which proves nothing."""
    listed = hashes(octets)[:blocks]
    return v1(Segment(octets, kp=kp, blocks=listed), last=blocks * BLOCK)


def description2(octets, kp=None, length=None):
    return (struct.pack(">I", len(octets) if length is None else length) +
            hashlib.sha512(octets).digest()[:32] + (kp or os.urandom(32)))


def v2(*chunks, start=0, index=0, first=0, length=0, algo=4):
    """Chunks are lists of descriptions, or what stands for one."""
    out = b"\0\2" + struct.pack(">BQQIQ", algo, start, index, first, length)
    for chunk in chunks:
        if not isinstance(chunk, bytes):
            chunk = chunk2(b"".join(chunk))
        out += chunk
    return out


def chunk2(body, kind=0, length=None):
    return struct.pack(">BI", kind,
                       len(body) if length is None else length) + body
