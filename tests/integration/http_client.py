# SPDX-License-Identifier: BSD-2-Clause
"""A client of HTTP/1.1 over a raw socket, written apart from the C code: it
sends what it is told, byte by byte, and is strict about what comes back."""

import calendar
import re
import socket
import time

DEADLINE = 20
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
STATUS = re.compile(r"HTTP/1\.([01]) ([1-5]\d\d) ([\x20-\x7e]*)\Z")
DATE = "%a, %d %b %Y %H:%M:%S GMT"
# Fields that may come once only.
SINGLE = {"content-length", "content-type", "content-range", "content-encoding",
          "etag", "last-modified", "date", "location", "connection", "server",
          "accept-ranges", "x-p2p-peerdist", "x-p2p-peerdistex", "vary",
          "transfer-encoding", "cache-control", "allow"}


class Closed(Exception):
    """The connection ended; octets: what came before."""

    def __init__(self, octets=b""):
        super().__init__(f"closed after {len(octets)} bytes")
        self.octets = octets


class Answer:
    """What came: status, fields in their order, and body; cut: of a body that
    ended early, how much of it is not there."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        match = STATUS.match(lines[0])
        assert match, lines[0]
        assert "\n" not in head.decode("latin-1").replace("\r\n", "")
        self.minor = int(match[1])
        self.status = int(match[2])
        self.reason = match[3]
        self.fields = []
        self.body = b""
        self.cut = 0
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and TOKEN.match(name), line
            assert value == (" " + value.strip(" \t")).rstrip(" "), line
            self.fields.append((name, value.strip(" ")))
        names = [name.lower() for name, _ in self.fields]
        for name in SINGLE:
            assert names.count(name) <= 1, f"{name} more than once"

    def get(self, name, default=None):
        """Of a field's first occurrence."""
        for found, value in self.fields:
            if found.lower() == name.lower():
                return value
        return default

    @property
    def names(self):
        return {name.lower() for name, _ in self.fields}

    @property
    def length(self):
        """Content-Length, or None."""
        value = self.get("Content-Length")
        if value is None:
            return None
        assert re.match(r"(0|[1-9]\d*)\Z", value), value
        return int(value)

    @property
    def keeps(self):
        """Whether the server means to go on with the connection."""
        words = {w.strip().lower()
                 for w in self.get("Connection", "").split(",")}
        if self.minor == 0:
            return "keep-alive" in words
        return "close" not in words

    @property
    def etag(self):
        return self.get("ETag")

    @property
    def is_encoded(self):
        """By the letter: peerdist is the only coding that may be there."""
        value = self.get("Content-Encoding")
        assert value in (None, "peerdist"), value
        return value is not None

    def __repr__(self):
        return f"<{self.status} {self.fields} {len(self.body)} bytes>"


def date(when):
    return time.strftime(DATE, time.gmtime(when))


def seconds(text):
    """The time of a date; strictly the form that must be sent."""
    parsed = calendar.timegm(time.strptime(text, DATE))
    assert date(parsed) == text
    return parsed


class Link:
    """One connection.  room: of the receive buffer, for clients that are slow;
    source: this end's address."""

    def __init__(self, address, deadline=DEADLINE, room=None, source=None):
        self.address = address
        if ":" in address[0]:
            self.socket = socket.socket(socket.AF_INET6)
            self.host = f"[{address[0]}]:{address[1]}"
        else:
            self.socket = socket.socket()
            self.host = f"{address[0]}:{address[1]}"
        self.socket.settimeout(deadline)
        if room is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        if source is not None:
            self.socket.bind((source, 0))
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # Sending.

    def raw(self, octets):
        self.socket.sendall(octets)

    def request(self, target, *fields, method="GET", minor=1, host=None):
        """The bytes of a request; fields are "Name: value", or bytes."""
        if isinstance(target, str):
            target = target.encode("latin-1")
        head = [method.encode() + b" " + target + b" HTTP/1.%d" % minor]
        if host is None and minor == 1:
            host = self.host
        if host:
            head.append(b"Host: " + host.encode())
        head += [f if isinstance(f, bytes) else f.encode("latin-1")
                 for f in fields]
        return b"\r\n".join(head) + b"\r\n\r\n"

    def send(self, target, *fields, **kwargs):
        self.raw(self.request(target, *fields, **kwargs))

    # Receiving.

    def more(self):
        """False at the end."""
        try:
            octets = self.socket.recv(1 << 20)
        except ConnectionResetError:
            octets = b""
        self.received += octets
        return bool(octets)

    def head(self):
        """Of the next answer: its body is still to come."""
        while True:
            head, found, rest = self.received.partition(b"\r\n\r\n")
            if found:
                self.received = rest
                return Answer(head)
            if not self.more():
                raise Closed(self.received)

    def take(self, size):
        """So many bytes of a body; fewer when the connection ends."""
        parts = [self.received[:size]]
        self.received = self.received[size:]
        left = size - len(parts[0])
        while left > 0:
            try:
                part = self.socket.recv(min(left, 1 << 20))
            except ConnectionResetError:
                part = b""
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def line(self):
        while b"\r\n" not in self.received:
            if not self.more():
                raise Closed(self.received)
        line, _, self.received = self.received.partition(b"\r\n")
        return line

    def chunks(self):
        parts = []
        while True:
            size = int(self.line().split(b";")[0], 16)
            if size == 0:
                break
            parts.append(self.take(size))
            assert self.line() == b""
        while self.line():
            pass
        return b"".join(parts)

    def body(self, answer, method="GET"):
        """Fills in the answer's body."""
        if method == "HEAD" or answer.status in (204, 304) or (
                answer.status < 200):
            return answer
        if answer.get("Transfer-Encoding") is not None:
            assert answer.get("Transfer-Encoding") == "chunked"
            assert answer.length is None
            answer.body = self.chunks()
        elif answer.length is not None:
            answer.body = self.take(answer.length)
            answer.cut = answer.length - len(answer.body)
        else:
            assert not answer.keeps, "a body without an end"
            answer.body = self.rest()
        return answer

    def receive(self, method="GET"):
        return self.body(self.head(), method)

    def rest(self):
        """All that comes until the connection ends."""
        while self.more():
            pass
        octets, self.received = self.received, b""
        return octets

    def ended(self):
        """Nothing more comes, and the connection is over."""
        rest = self.rest()
        assert rest == b"", rest[:200]
        return True

    def ask(self, target, *fields, **kwargs):
        self.send(target, *fields, **kwargs)
        return self.receive(kwargs.get("method", "GET"))


class Steady:
    """Asks on one connection, as long as the server keeps it."""

    def __init__(self, address, deadline=DEADLINE):
        self.address, self.deadline = address, deadline
        self.host = f"{address[0]}:{address[1]}"
        self.link = None

    def ask(self, *args, **kwargs):
        link, self.link = self.link, None
        if link is None:
            link = Link(self.address, self.deadline)
        answer = link.ask(*args, **kwargs)
        if answer.keeps:
            self.link = link
        else:
            link.ended()
            link.close()
        return answer

    def close(self):
        if self.link is not None:
            self.link.close()


def get(address, target, *fields, **kwargs):
    """On a connection of its own."""
    with Link(address) as link:
        return link.ask(target, *fields, **kwargs)


def multipart(answer):
    """The parts of a multipart/byteranges body: (type, first, last, size,
    bytes) of each.  Strict about the form."""
    match = re.match(r"multipart/byteranges; boundary=([0-9A-Za-z'()+_,./:=?-]"
                     r"{1,70})\Z", answer.get("Content-Type", ""))
    assert match, answer.get("Content-Type")
    boundary = match[1].encode()
    body = answer.body
    assert body.endswith(b"\r\n--" + boundary + b"--\r\n")
    parts, at = [], 0
    while True:
        opening = b"\r\n--" + boundary + b"\r\n"
        # The first may do without the empty line.
        if at == 0 and body.startswith(opening[2:]):
            opening = opening[2:]
        if not body.startswith(opening, at):
            break
        at += len(opening)
        end = body.index(b"\r\n\r\n", at)
        fields = dict(line.split(b": ", 1)
                      for line in body[at:end].split(b"\r\n"))
        fields = {k.decode().lower(): v.decode() for k, v in fields.items()}
        assert set(fields) <= {"content-type", "content-range"}
        found = re.match(r"bytes (\d+)-(\d+)/(\d+)\Z", fields["content-range"])
        first, last, size = map(int, found.groups())
        at = end + 4
        octets = body[at:at + last - first + 1]
        parts.append((fields.get("content-type"), first, last, size, octets))
        at += len(octets)
    assert body[at:] == b"\r\n--" + boundary + b"--\r\n"
    return parts
