# SPDX-License-Identifier: BSD-2-Clause
"""A client of the control socket in a few lines, written apart from the C code:
sessions, operations and the data area, and every way to get them wrong.

As a program: ipc.py SOCKET [N] holds N sessions, says "ready", and ends when
its standard input does.
"""

import contextlib
import json
import mmap
import os
import socket
import struct
import sys

HELLO, REPLY, STATUS, ACK, COMPLETE, NEED, FEED, RELEASED, RETURN = range(1, 10)
(STATUS_GET, SESSION_END, PUBLISH_OPEN, STREAM_CLOSE, UNPUBLISH, INFO_OPEN,
 INFO_CLOSE, SERVER_CANCEL, CONTENT_OPEN, CONTENT_CLOSE, CLIENT_CANCEL,
 CONTENT_INFO) = range(16, 28)
(SUBMIT_STREAM_ADD, SUBMIT_STREAM_COMPLETE, SUBMIT_PUBLISH_FILE,
 SUBMIT_RETRIEVE, SUBMIT_CI_ADD, SUBMIT_CI_COMPLETE, SUBMIT_DATA_ADD,
 SUBMIT_BLOCK_READ, SUBMIT_STREAM_READ, SUBMIT_FLUSH) = range(32, 42)
(ADMIN_STATUS, ADMIN_SESSIONS, ADMIN_OPERATIONS, ADMIN_CANCEL, ADMIN_CONFIG,
 ADMIN_RELOAD) = range(64, 70)
ADMIN_TEXT = 80
FEATURE_AREA = 1
ABORTED = 995
INLINE_MAX, SLICE_MAX = 4096, 1 << 20


def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def u(field, n):
    return varint(field << 3) + varint(n)


def fixed(field, n):
    return varint(field << 3 | 1) + struct.pack("<Q", n)


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def decode(body):
    """Field number -> value; the last one counts."""
    fields, i = {}, 0

    def number():
        nonlocal i
        n = shift = 0
        while True:
            byte = body[i]
            i += 1
            n |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return n

    while i < len(body):
        tag = number()
        if tag & 7 == 0:
            value = number()
        elif tag & 7 == 1:
            value = struct.unpack_from("<Q", body, i)[0]
            i += 8
        else:
            size = number()
            value = body[i:i + size]
            i += size
        fields[tag >> 3] = value
    return fields


def frame(kind, number, body=b"", flags=0, n_fds=0, length=None):
    if length is None:
        length = 16 + len(body)
    return struct.pack("<IHBBQ", length, kind, n_fds, flags, number) + body


def hello(lowest=1, highest=1, features=FEATURE_AREA, name="ipc.py"):
    return frame(HELLO, 0, u(1, lowest) + u(2, highest) + u(3, features) +
                 data(10, name.encode()))


@contextlib.contextmanager
def acting_as(uid):
    """The kernel tells the service who connected, not who speaks later."""
    if uid is None:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def connect(path, deadline=20, uid=None):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(deadline)
    try:
        with acting_as(uid):
            connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


class Client:
    def __init__(self, path, deadline=20, session=True, name="ipc.py",
                 uid=None, greet=True):
        self.socket = connect(path, deadline, uid)
        self.slot = 0
        self.received = b""
        self.fds = []
        self.map = None
        if greet:
            self.raw(hello(features=FEATURE_AREA if session else 0,
                           name=name))
            self.hello = self.expect(HELLO)[1]

    @property
    def server(self):
        """The process at the other end."""
        return struct.unpack("3i", self.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def raw(self, octets, fds=()):
        if fds:
            sent = socket.send_fds(self.socket, [octets], list(fds))
            octets = octets[sent:]
        if octets:
            self.socket.sendall(octets)

    def send(self, kind, number, body=b"", flags=0, fds=()):
        self.raw(frame(kind, number, body, flags, len(fds)), fds)

    def receive(self):
        """The next frame: type, id, fields.  EOFError at the end."""
        while True:
            if len(self.received) >= 16:
                size, kind, _, _, number = struct.unpack_from(
                    "<IHBBQ", self.received)
                if len(self.received) >= size:
                    body = self.received[16:size]
                    self.received = self.received[size:]
                    return kind, number, decode(body)
            try:
                more, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
            except ConnectionResetError:
                more, fds = b"", []
            self.fds += fds
            if not more:
                raise EOFError
            self.received += more

    def expect(self, *kinds):
        """The next frame of these types; others are dropped."""
        while True:
            kind, number, fields = self.receive()
            if kind in kinds:
                return number, fields

    def drain(self):
        """All frames until the service closes the connection."""
        frames = []
        while True:
            try:
                frames.append(self.receive())
            except EOFError:
                return frames

    def call(self, kind, body=b""):
        """A request without operation; the fields of its answer."""
        self.send(kind, 1, body)
        return self.expect(REPLY)[1]

    def code(self, kind, body=b""):
        return self.call(kind, body).get(1, 0)

    def admin(self, kind):
        """The document of an administrative request."""
        text, more = b"", 1
        self.send(kind, 1)
        while more:
            fields = self.expect(ADMIN_TEXT)[1]
            text += fields.get(2, b"")
            more = fields.get(3, 0)
        return json.loads(text)

    def number(self):
        """A new operation's id; slots come round again."""
        self.slot += 1
        return (1 + (self.slot >> 14)) << 32 | (self.slot & 0x3fff)

    def attempt(self, kind, body, fds=()):
        """A submission: its id, and the code of its ACK."""
        number = self.number()
        self.send(kind, number, body, fds=fds)
        acked, fields = self.expect(ACK)
        assert acked == number
        return number, fields.get(1, 0)

    def submit(self, kind, body, fds=()):
        """The operation's id, once it is accepted."""
        number, code = self.attempt(kind, body, fds)
        assert code == 0
        return number

    def complete(self):
        """The next completion: id, code."""
        number, fields = self.expect(COMPLETE)
        return number, fields.get(1, 0)

    # The data area.

    @property
    def area(self):
        if self.map is None:
            self.map = mmap.mmap(self.fds[0], self.hello[4] + self.hello[5])
        return self.map

    @property
    def write_size(self):
        return self.hello[4]

    def slice(self, part, offset=0):
        """A message that says where these bytes are."""
        if len(part) <= INLINE_MAX:
            return u(2, len(part)) + data(3, part)
        self.area[offset:offset + len(part)] = part
        return u(1, offset) + u(2, len(part))

    def add(self, kind, handle, octets, offset=0):
        """All of an add; the codes of its ACK and its completion."""
        sent = min(len(octets), SLICE_MAX)
        number, code = self.attempt(
            kind, fixed(1, handle) + u(2, len(octets)) + u(3, offset) +
            data(4, self.slice(octets[:sent])))
        if code != 0:
            return code, None
        while True:
            kind, found, fields = self.receive()
            if kind == NEED and found == number:
                part = octets[sent:sent + fields[1]]
                self.send(FEED, number, self.slice(part))
                sent += len(part)
            elif kind == COMPLETE and found == number:
                return 0, fields.get(1, 0)

    def result(self, number=None):
        """The end of a read (of this one; the next one): code, offset, bytes
        or their number."""
        while True:
            found, fields = self.expect(COMPLETE)
            if number in (None, found):
                break
        octets = fields.get(6)
        size = fields.get(2, 0)
        if 5 in fields:
            where = decode(fields[5])
            at = where.get(1, 0)
            octets = self.area[at:at + size]
            self.send(RETURN, 0, fields[5])
        return fields.get(1, 0), fields.get(3, 0), octets or size

    # Contents.

    def open_handle(self, tag=bytes(16)):
        return self.call(CONTENT_OPEN, data(1, tag))[2]

    def feed_information(self, handle, info):
        """The code of the step that failed, or 0."""
        for code in self.add(SUBMIT_CI_ADD, handle, info):
            if code != 0:
                return code
        number, code = self.attempt(SUBMIT_CI_COMPLETE, fixed(1, handle))
        return code or self.result(number)[0]

    def open_content(self, info, tag=bytes(16)):
        """A handle with this content information."""
        handle = self.open_handle(tag)
        assert self.feed_information(handle, info) == 0
        return handle

    def read(self, handle, timeout_ms=600000, length=65536, offset=0):
        """A read that waits for its data."""
        return self.submit(
            SUBMIT_BLOCK_READ, fixed(1, handle) + u(2, offset) +
            u(3, length) + u(4, timeout_ms))

    def read_cached(self, handle, length=65536, offset=0):
        return self.result(self.read(handle, 0, length, offset))

    def publish(self, label, octets):
        handle = self.call(PUBLISH_OPEN, data(1, label) + u(3, 1))[2]
        assert self.add(SUBMIT_STREAM_ADD, handle, octets) == (0, 0)
        number = self.submit(SUBMIT_STREAM_COMPLETE, fixed(1, handle))
        assert self.result(number)[0] == 0
        assert self.code(STREAM_CLOSE, fixed(1, handle)) == 0

    def information(self, label, length=65536):
        """Content information of what is published under a label, or the code
        of opening it."""
        fields = self.call(INFO_OPEN, data(1, label) + u(4, 1) + u(5, 2))
        if fields.get(1, 0) != 0:
            return fields[1]
        number = self.submit(SUBMIT_RETRIEVE,
                             fixed(1, fields[2]) + u(2, length))
        code, _, octets = self.result(number)
        assert code == 0
        assert self.code(INFO_CLOSE, fixed(1, fields[2])) == 0
        return octets

    def close(self):
        self.socket.close()
        while self.fds:
            os.close(self.fds.pop())


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    clients = [Client(sys.argv[1]) for _ in range(count)]
    print("ready", flush=True)
    sys.stdin.read()
    for client in clients:
        client.close()


if __name__ == "__main__":
    main()
