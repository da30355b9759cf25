# SPDX-License-Identifier: BSD-2-Clause
"""A client of the control socket in a few lines, written apart from the C code:
enough to have a session with pending operations.

As a program: ipc.py SOCKET [N] holds N sessions, says "ready", and ends when
its standard input does.
"""

import socket
import struct
import sys

HELLO, REPLY, ACK, COMPLETE, SESSION_END = 1, 2, 4, 5, 17
CONTENT_OPEN, CONTENT_CLOSE = 24, 25
SUBMIT_CI_ADD, SUBMIT_CI_COMPLETE, SUBMIT_BLOCK_READ = 36, 37, 39
FEATURE_AREA = 1
ABORTED = 995


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


class Client:
    def __init__(self, path, deadline=20, session=True, name="ipc.py"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(deadline)
        self.socket.connect(str(path))
        self.slot = 0
        self.received = b""
        self.send(HELLO, 0, u(1, 1) + u(2, 1) +
                  u(3, FEATURE_AREA if session else 0) +
                  data(10, name.encode()))
        self.hello = self.expect(HELLO)[1]

    def send(self, kind, number, body=b"", flags=0):
        self.socket.sendall(struct.pack(
            "<IHBBQ", 16 + len(body), kind, 0, flags, number) + body)

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
            more, _, _, _ = socket.recv_fds(self.socket, 65536, 4)
            if not more:
                raise EOFError
            self.received += more

    def expect(self, *kinds):
        """The next frame of these types; others are dropped."""
        while True:
            kind, number, fields = self.receive()
            if kind in kinds:
                return number, fields

    def call(self, kind, body=b""):
        """A request without operation; the fields of its answer."""
        self.send(kind, 1, body)
        return self.expect(REPLY)[1]

    def submit(self, kind, body):
        """The operation's id, once it is accepted."""
        self.slot += 1
        number = 1 << 32 | self.slot
        self.send(kind, number, body)
        assert self.expect(ACK) == (number, {})
        return number

    def complete(self):
        """The next completion: id, code."""
        number, fields = self.expect(COMPLETE)
        return number, fields.get(1, 0)

    def open_content(self, info):
        """A handle with this content information (small enough to go
        inline)."""
        handle = self.call(CONTENT_OPEN, data(1, b"\0" * 16))[2]
        self.submit(SUBMIT_CI_ADD, fixed(1, handle) + u(2, len(info)) +
                    data(4, u(2, len(info)) + data(3, info)))
        assert self.complete()[1] == 0
        self.submit(SUBMIT_CI_COMPLETE, fixed(1, handle))
        assert self.complete()[1] == 0
        return handle

    def read(self, handle, timeout_ms=600000, length=65536, offset=0):
        """A read that waits for its data."""
        return self.submit(
            SUBMIT_BLOCK_READ, fixed(1, handle) + u(2, offset) +
            u(3, length) + u(4, timeout_ms))

    def close(self):
        self.socket.close()


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    clients = [Client(sys.argv[1]) for _ in range(count)]
    print("ready", flush=True)
    sys.stdin.read()
    for client in clients:
        client.close()


if __name__ == "__main__":
    main()
