# SPDX-License-Identifier: BSD-2-Clause
"""A web server that does what a test says: pages plain or with PeerDist
encoding, their description made here and not by the project's code, and every
way to behave badly.  It writes down what it was asked and counts what it sent.

    with Origin() as origin:
        page = origin.add("/file", Page(octets, version=2))
        page.twist("range", lambda request, answer: ...)

A twist is called with each answer of a kind before it is sent, and may change
it, wait, change the page, or return another.  The kinds of requests are

    content  understands PeerDist
    range    MissingDataRequest=true
    hash     HashRequest=true
    plain    none of these
"""

import re
import socket
import struct
import threading

import lab
from conftest import DEADLINE

PEERDIST, PEERDIST_EX = "X-P2P-PeerDist", "X-P2P-PeerDistEx"
MODIFIED = "Sun, 01 Nov 2026 10:00:00 GMT"
AT_ONCE = 1 << 16
REASONS = {200: "OK", 206: "Partial Content", 404: "Not Found"}
KINDS = ("content", "range", "hash", "plain")


class Gone(Exception):
    """The connection is to be closed here."""


class Reset(Exception):
    """The same, without a good-bye."""


class Request:
    def __init__(self, connection, head):
        line, *lines = head.split("\r\n")
        self.connection = connection
        self.method, self.target, self.version = line.split(" ", 2)
        self.fields = [tuple(part.strip() for part in line.split(":", 1))
                       for line in lines]

    def get(self, name):
        """The value of a field, lists joined; None when there is none."""
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        return ", ".join(values) if values else None

    def parameter(self, name, key):
        """Of a list "Key=value, Key=value"."""
        for element in (self.get(name) or "").split(","):
            found, _, value = element.partition("=")
            if found.strip().lower() == key.lower():
                return value.strip()
        return None

    @property
    def codings(self):
        """None: there is no such field."""
        found = self.get("Accept-Encoding")
        return found and [c.strip() for c in found.split(",")]

    @property
    def kind(self):
        if self.parameter(PEERDIST_EX, "HashRequest") == "true":
            return "hash"
        if self.parameter(PEERDIST, "MissingDataRequest"):
            return "range"
        if "peerdist" in (self.codings or ()):
            return "content"
        return "plain"

    def range(self, size):
        """[from, to) of a content so long; None: no range is asked for, or
        none that is satisfied."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.get("Range") or "")
        if not match or match.groups() == ("", ""):
            return None
        first, last = match.groups()
        if not first:
            return max(size - int(last), 0), size
        end = min(int(last) + 1, size) if last else size
        return (int(first), end) if int(first) < end else None

    def wait_gone(self):
        """Nothing more is sent until the other side closes."""
        try:
            while self.connection.recv(AT_ONCE):
                pass
        except OSError:
            pass
        raise Gone


class Answer:
    """body: bytes, or what gives them in pieces; then it may raise Gone or
    Reset.  head: bytes that are sent instead of status and fields."""

    def __init__(self, status=200, fields=None, body=b""):
        self.status = status
        self.fields = dict(fields or {})
        self.body = body
        self.head = None
        if isinstance(body, bytes):
            self.fields.setdefault("Content-Length", str(len(body)))

    def head_bytes(self):
        if self.head is not None:
            return self.head
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'None')}"]
        lines += [f"{n}: {v}" for n, v in self.fields.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def replace(self, body):
        """Another body, of its own length."""
        self.body = body
        self.fields["Content-Length"] = str(len(body))
        return self

    def split(self, at, then):
        """The first bytes; then this happens; then the rest."""
        whole = self.body

        def parts():
            yield whole[:at]
            then()
            yield whole[at:]
        self.body = parts()
        return self


def chunked(octets, size):
    """As "Transfer-Encoding: chunked" in pieces of this size."""
    for at in range(0, len(octets), size):
        part = octets[at:at + size]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def closes():
    raise Gone


def resets():
    raise Reset


class Representation:
    """What a page is at a time: never changed, but replaced by another."""

    def __init__(self, octets, version, etag, modified):
        self.octets, self.etag, self.modified = octets, etag, modified
        self.content = lab.Content(octets, version) \
            if version and octets else None
        self.info = self.content and self.content.info
        self.validators = {
            n: v for n, v in (("ETag", etag), ("Last-Modified", modified))
            if v is not None}


class Page:
    """A resource.  version: of its content information, 0: the server has no
    PeerDist; ready: the hashes are there."""

    def __init__(self, octets, version=0, etag='"one"', modified=MODIFIED,
                 ready=True):
        self.twists = {}
        self.one_time = {}
        self.turn = threading.Lock()
        self.ready = ready
        self.version = version
        self.change(octets, etag, modified)

    def change(self, octets, etag='"two"',
               modified="Mon, 02 Nov 2026 11:00:00 GMT"):
        """Another representation from now on."""
        self.now = Representation(octets, self.version, etag, modified)

    def __getattr__(self, name):
        """octets, etag, modified, content, info, validators: as of now."""
        return getattr(self.__dict__["now"], name)

    def twist(self, kind, function):
        self.twists[kind] = function
        return self

    def once(self, kind, function):
        """The same, for one request; others wait until it has returned."""
        self.one_time[kind] = function
        return self

    @staticmethod
    def plain(now, request):
        fields = {"Accept-Ranges": "bytes", **now.validators}
        size = len(now.octets)
        wanted = request.get("If-Range")
        if request.get("Range") is None or \
                wanted not in (None, now.etag, now.modified):
            return Answer(200, fields, now.octets)
        part = request.range(size)
        if part is None:
            fields["Content-Range"] = f"bytes */{size}"
            return Answer(416, fields)
        fields["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{size}"
        return Answer(206, fields, now.octets[part[0]:part[1]])

    @staticmethod
    def encoded(now):
        return Answer(200, {
            "Content-Encoding": "peerdist",
            PEERDIST: f"Version=1.1, ContentLength={len(now.octets)}",
            "Accept-Ranges": "bytes", **now.validators}, now.info)

    def answer(self, request):
        now = self.now
        asks = request.kind in ("content", "hash") and \
            request.get("Range") is None
        if asks and now.info is not None and self.ready:
            return self.encoded(now)
        answer = self.plain(now, request)
        if request.kind == "content" and now.info is not None:
            answer.fields[PEERDIST] = "Version=1.1"
            answer.fields[PEERDIST_EX] = "MakeHashRequest=true"
        return answer

    def __call__(self, request):
        with self.turn:
            answer = self.answer(request)
            twist = self.one_time.pop(request.kind, None)
            if twist is not None:
                return twist(request, answer) or answer
        twist = self.twists.get(request.kind)
        return twist and twist(request, answer) or answer


class Origin:
    """Pages are called with a request and return the answer."""

    def __init__(self):
        self.pages = {}
        self.requests = []
        self.sent = dict.fromkeys(KINDS, 0)  # of bodies
        self.news = threading.Condition()
        self.faults = []
        self.connections = {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def add(self, path, page):
        self.pages[path] = page
        return page

    def url(self, path, user=""):
        return f"http://{user}127.0.0.1:{self.port}{path}"

    @property
    def total(self):
        """Bytes of bodies."""
        return sum(self.sent.values())

    def of(self, kind):
        """Requests of this kind."""
        return [r for r in list(self.requests) if r.kind == kind]

    def wait(self, fact, what):
        with self.news:
            assert self.news.wait_for(fact, DEADLINE), f"never: {what}"

    def wait_request(self, kind):
        self.wait(lambda: self.of(kind), f"a request of kind {kind}")

    def forget(self):
        """Counts from now on."""
        with self.news:
            self.requests.clear()
            self.sent = dict.fromkeys(KINDS, 0)

    # What threads do.

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self.serve, args=(connection,),
                                      daemon=True)
            with self.news:
                self.connections[connection] = thread
            thread.start()

    def serve(self, connection):
        try:
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    more = connection.recv(AT_ONCE)
                    if not more:
                        return
                    received += more
                head, _, received = received.partition(b"\r\n\r\n")
                self.reply(Request(connection, head.decode("latin-1")))
        except Gone:
            pass
        except Reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                  struct.pack("ii", 1, 0))
        except OSError:
            pass
        except Exception as fault:  # told by close()
            self.faults.append(fault)
            raise
        finally:
            connection.close()
            with self.news:
                self.connections.pop(connection, None)
                self.news.notify_all()

    def reply(self, request):
        with self.news:
            self.requests.append(request)
            self.news.notify_all()
        page = self.pages.get(request.target, lambda _: Answer(404))
        answer = page(request)
        head = answer.head_bytes()
        parts = [head] if isinstance(head, bytes) else head
        for part in parts:
            request.connection.sendall(part)
        parts = answer.body
        if isinstance(parts, bytes):
            parts = [parts]
        if request.method != "HEAD":
            self.send_body(request, parts)
        if "Content-Length" not in answer.fields and \
                "Transfer-Encoding" not in answer.fields:
            raise Gone

    def send_body(self, request, parts):
        for part in parts:
            for at in range(0, len(part), AT_ONCE):
                piece = part[at:at + AT_ONCE]
                # Who has got them all may look at once.
                with self.news:
                    self.sent[request.kind] += len(piece)
                    self.news.notify_all()
                request.connection.sendall(piece)

    def close(self):
        # Closing alone does not wake accept().
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE)
        with self.news:
            left = list(self.connections.items())
        for connection, _ in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for _, thread in left:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "a twist waits for ever"
        assert not self.faults, self.faults

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
