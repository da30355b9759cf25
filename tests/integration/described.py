# SPDX-License-Identifier: BSD-2-Clause
"""What the content information of a file has to be, made from the file's bytes
and the server's key alone, byte by byte."""

import hashlib
import hmac
import struct

import content

BLOCK, SEGMENT = content.BLOCK, content.SEGMENT
ID_TAG = "MS_P2P_CACHING\0".encode("utf-16-le")
CUT_MAX = 131072


def kp1(key, hod):
    return hmac.digest(hashlib.sha256(key).digest(), hod, "sha256")


def kp2(key, hod):
    return hmac.digest(hashlib.sha512(key).digest()[:32], hod, "sha512")[:32]


class Described:
    """A file that is given out.  Versions of its content information are
    compared with what it should be; hashes are made once."""

    def __init__(self, octets, key):
        self.octets = octets
        self.key = key
        self.segments = None
        self.cuts = None  # offsets of version 2, and the size behind them
        self.rows = None

    def segments1(self):
        if self.segments is None:
            self.segments = []
            for at in range(0, len(self.octets), SEGMENT):
                made = content.Segment(self.octets[at:at + SEGMENT], at, b"-")
                made.kp = kp1(self.key, made.hod)
                made.octets = None
                self.segments.append(made)
        return self.segments

    def v1(self, start=0, length=None):
        """Version 1 of a range."""
        end = len(self.octets) if length is None else start + length
        assert 0 <= start < end <= len(self.octets)
        listed = []
        for whole in self.segments1():
            if whole.start + whole.length <= start or whole.start >= end:
                continue
            touched = min(end, whole.start + whole.length) - whole.start
            count = -(-touched // BLOCK)
            part = content.Segment(b"", whole.start, whole.kp,
                                   whole.blocks[:count], hod=whole.hod,
                                   length=whole.length)
            listed.append(part)
        last = listed[-1]
        read = 0
        if end < last.start + last.length:
            read = end - (start if len(listed) == 1 else last.start)
        return content.v1(*listed, first=start - listed[0].start, last=read)

    def learn(self, info):
        """Where version 2 cuts the file: it chooses that itself.  info: of the
        whole."""
        assert info[:3] == b"\0\2\4"
        count, left = divmod(len(info) - 36, 68)
        assert left == 0 and count > 0
        cuts = [0]
        for i in range(count):
            length, = struct.unpack_from(">I", info, 36 + 68 * i)
            assert 0 < length <= CUT_MAX
            cuts.append(cuts[-1] + length)
        assert cuts[-1] == len(self.octets)
        assert self.cuts in (None, cuts)
        if self.cuts is None:
            self.cuts = cuts
            self.rows = []
            for at, end in zip(cuts, cuts[1:]):
                part = bytes(self.octets[at:end])
                hod = hashlib.sha512(part).digest()[:32]
                self.rows.append(content.description2(
                    part, kp2(self.key, hod)))

    def v2(self, start=0, length=None):
        """Version 2 of a range, after learn()."""
        whole = length is None
        end = len(self.octets) if whole else start + length
        assert 0 <= start < end <= len(self.octets)
        listed = [i for i in range(len(self.rows))
                  if self.cuts[i + 1] > start and self.cuts[i] < end]
        at = self.cuts[listed[0]]
        return content.v2([self.rows[i] for i in listed], start=at,
                          index=listed[0], first=start - at,
                          length=0 if end - start == len(self.octets)
                          else end - start)

    def check(self, info, version, start=0, length=None):
        """That these bytes are the information of that range."""
        if version == 1:
            wanted = self.v1(start, length)
        else:
            if self.cuts is None:
                self.learn(info)
            wanted = self.v2(start, length)
        assert version_of(info) == version
        assert info == wanted

    # What a client makes of it.

    def ids(self, version):
        """Segment id, key, start and length of what is fetched in one."""
        found = []
        if version == 1:
            for s in self.segments1():
                ident = hmac.digest(s.kp, s.hod + ID_TAG, "sha256")
                for i in range(len(s.blocks)):
                    at = s.start + i * BLOCK
                    found.append((ident, i, s.kp, at,
                                  min(BLOCK, s.start + s.length - at)))
            return found
        for i, row in enumerate(self.rows):
            hod, kp = row[4:36], row[36:68]
            ident = hmac.digest(kp, hod + ID_TAG, "sha512")[:32]
            found.append((ident, 0, kp, self.cuts[i],
                          self.cuts[i + 1] - self.cuts[i]))
        return found


def version_of(info):
    return {b"\0\1": 1, b"\0\2": 2}[info[:2]]
