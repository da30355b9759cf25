# SPDX-License-Identifier: BSD-2-Clause
"""peerdist-get and an origin that lies, stalls and cuts: a finished file is
right, or there is none, and it ends in time.  Where the origin can still give
the bytes plainly, they are got."""

import os
import re
import socket

import pytest

import content
from conftest import DEADLINE
from getting import FAILED, NETWORK, OK, Patients, hosts
from origin import (PEERDIST, Answer, Gone, Origin, Page, chunked, closes,
                    resets)

BLOCK = content.BLOCK
SIZE = 9 * BLOCK + 123
INFO_MAX = 64 << 20
versions = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture(scope="module")
def host():
    with hosts() as (made,):
        yield made


@pytest.fixture
def origin():
    with Origin() as made:
        yield made


def serve(origin, version=0, path="/file", size=SIZE, **more):
    page = origin.add(path, Page(os.urandom(size), version, **more))
    page.url = origin.url(path)
    return page


def is_right_or_fails(got, octets):
    """Nothing else may come out of it."""
    if got.code == OK:
        got.is_complete(octets)
    else:
        assert got.code == NETWORK, got.err
        assert got.octets is None
    return got


def endless(piece=bytes(1 << 16)):
    while True:
        yield piece


# Content information.

OTHER = os.urandom(SIZE)


def forged1(octets, **wrong):
    return content.v1(content.Segment(octets, **wrong))


def forged2(octets, *descriptions, **wrong):
    if not descriptions:
        descriptions = [content.description2(octets[i:i + BLOCK])
                        for i in range(0, len(octets), BLOCK)]
    return content.v2(list(descriptions), **wrong)


def hashed2(octets):
    return [content.description2(octets[i:i + BLOCK])
            for i in range(0, len(octets), BLOCK)]


WRONG_INFO = {
    "nothing": lambda o: b"",
    "garbage": lambda o: os.urandom(300),
    "the file": lambda o: o,
    "text": lambda o: b"<html>It works!</html>\n",
    "version 3": lambda o: b"\0\3" + forged1(o)[2:],
    "of another file": lambda o: forged1(OTHER),
    "of another file 2": lambda o: forged2(OTHER),
    "of less": lambda o: forged1(o[:-1]),
    "of more": lambda o: forged1(o + b"x"),
    "of less 2": lambda o: forged2(o[:-1]),
    "of more 2": lambda o: forged2(o + b"x"),
    "a segment less 2": lambda o: forged2(o, *hashed2(o)[:-1]),
    "a part": lambda o: content.v1(content.Segment(o), first=BLOCK),
    "a part at the end": lambda o: content.v1(
        content.Segment(o), last=len(o) - BLOCK),
    "a part 2": lambda o: forged2(o, first=BLOCK),
    "a part 2 at the end": lambda o: forged2(o, length=len(o) - BLOCK),
    "further on 2": lambda o: forged2(o, start=BLOCK, index=1),
    "further on": lambda o: forged1(o, start=content.SEGMENT),
    "one hash of blocks": lambda o: forged1(
        o, blocks=[os.urandom(32), *content.hashes(o)[1:]]),
    "hash of data": lambda o: forged1(o, hod=os.urandom(32)),
    "all hashes": lambda o: forged1(
        o, blocks=content.hashes(OTHER), hod=os.urandom(32)),
    "few blocks": lambda o: forged1(o, blocks=content.hashes(o)[:-1]),
    "many blocks": lambda o: forged1(o, blocks=content.hashes(o) * 2),
    "many blocks said": lambda o: forged1(o, count=0xffffffff),
    "no blocks": lambda o: forged1(o, blocks=[]),
    "block size": lambda o: forged1(o, block_size=4096),
    "block size of 0": lambda o: forged1(o, block_size=0),
    "length of a segment": lambda o: forged1(o, length=0xffffffff),
    "length of 0": lambda o: forged1(o, length=0),
    "no segments": lambda o: content.v1(),
    "many segments said": lambda o: content.v1(
        content.Segment(o), count=0xffffffff),
    "the same twice": lambda o: content.v1(
        content.Segment(o), content.Segment(o)),
    "unknown hash": lambda o: content.v1(content.Segment(o), algo=0x8004),
    "unknown hash 2": lambda o: forged2(o, algo=1),
    "hashes 2": lambda o: forged2(o, *[
        content.description2(o[i:i + BLOCK][::-1])
        for i in range(0, len(o), BLOCK)]),
    "long segment 2": lambda o: forged2(o, content.description2(o)),
    "segment of 0 2": lambda o: forged2(
        o, content.description2(b""), *hashed2(o)),
    "huge range 2": lambda o: forged2(o, length=1 << 63),
    "huge start 2": lambda o: forged2(o, start=(1 << 64) - 1),
    "chunk too long 2": lambda o: content.v2(content.chunk2(
        b"".join(hashed2(o)), length=0xffffffff)),
    "chunk of another kind 2": lambda o: content.v2(content.chunk2(
        b"".join(hashed2(o)), kind=9)),
}


@pytest.mark.parametrize("what", WRONG_INFO)
def test_wrong_information(host, origin, what):
    page = serve(origin, 1)
    page.twist("content", lambda _r, a: a.replace(
        WRONG_INFO[what](page.octets)))
    host.get(page.url).is_complete(page.octets)


@pytest.mark.parametrize("what", WRONG_INFO)
def test_wrong_information_of_hash_request(host, origin, what):
    """The file stays what it is: the server itself gives it once more."""
    page = serve(origin, 1, ready=False)

    def lie(_request, answer):
        answer.fields.update({
            "Content-Encoding": "peerdist",
            PEERDIST: f"Version=1.1, ContentLength={SIZE}"})
        answer.replace(WRONG_INFO[what](page.octets))
    page.twist("hash", lie)
    got = host.get(page.url, "--wait", "0")
    got.is_complete(page.octets)


@versions
@pytest.mark.parametrize("left", [1, 2, 17, 18, 31, 36, 40, 100, 133])
def test_information_is_cut(host, origin, version, left):
    """The field of its length says so."""
    page = serve(origin, version)
    page.twist("content", lambda _r, a: a.replace(page.info[:left]))
    host.get(page.url).is_complete(page.octets)


@versions
@pytest.mark.parametrize("then", [closes, resets])
@pytest.mark.parametrize("left", [0, 1, 20, 150])
def test_information_breaks_off(host, origin, version, left, then):
    page = serve(origin, version)
    page.twist("content", lambda _r, a: a.split(left, then))
    is_right_or_fails(host.get(page.url), page.octets)


@versions
def test_information_once_breaks_off(host, origin, version):
    page = serve(origin, version)
    page.once("content", lambda _r, a: a.split(20, closes))
    is_right_or_fails(host.get(page.url), page.octets)


@versions
@pytest.mark.parametrize("framing", ["chunked", "closed"])
def test_information_without_length(host, origin, version, framing):
    """That is allowed."""
    page = serve(origin, version)

    def frame(_request, answer):
        del answer.fields["Content-Length"]
        if framing == "chunked":
            answer.fields["Transfer-Encoding"] = "chunked"
            answer.body = chunked(page.info, 7)
    page.twist("content", frame)
    got = host.get(page.url).is_complete(page.octets)
    assert got.document["peerdist"]["encoded"] is True


@pytest.mark.parametrize("kind", ["content", "hash"])
@pytest.mark.parametrize("framing", ["length", "chunked", "closed"])
def test_endless_information(host, origin, framing, kind):
    """No more of it is taken than can be meant."""
    page = serve(origin, 1, ready=kind == "content")

    def frame(_request, answer):
        answer.fields.update({
            "Content-Encoding": "peerdist",
            PEERDIST: f"Version=1.1, ContentLength={SIZE}"})
        answer.fields.pop("Content-Length")
        answer.body = endless()
        if framing == "length":
            answer.fields["Content-Length"] = str(1 << 40)
        elif framing == "chunked":
            answer.fields["Transfer-Encoding"] = "chunked"
            answer.body = endless(b"10000\r\n%s\r\n" % bytes(1 << 16))
    page.twist(kind, frame)
    got = host.get(page.url, "--wait", "0")
    got.is_complete(page.octets)
    assert origin.sent[kind] < INFO_MAX + SIZE + (16 << 20)
    if framing == "length":
        assert origin.sent[kind] < 16 << 20


@pytest.mark.parametrize("field", [
    None, "", "Version=1.1", f"ContentLength={SIZE}",
    f"Version=1.1, ContentLength={SIZE - 1}",
    f"Version=1.1, ContentLength={SIZE + 1}",
    "Version=1.1, ContentLength=0", "Version=1.1, ContentLength=-1",
    f"Version=1.1, ContentLength={SIZE}x",
    "Version=1.1, ContentLength=18446744073709551616",
    f"Version=1.1, ContentLength={(1 << 64) + SIZE}",
    f"Version=1.1, ContentLength={SIZE}, ContentLength=7",
    f"version=1.1,contentlength={SIZE}", f"Version=1.0, ContentLength={SIZE}",
    f"Version=999.999, ContentLength={SIZE}",
    f"Version=1.1, Version=1.0, ContentLength={SIZE}",
    "Version=1.1, ContentLength=\xff\xfe", ",,,,", "=", "x" * 60000])
@versions
def test_fields_that_contradict(host, origin, version, field):
    """Whatever they say, the bytes are right."""
    page = serve(origin, version)

    def twist(_request, answer):
        if field is None:
            del answer.fields[PEERDIST]
        else:
            answer.fields[PEERDIST] = field
    page.twist("content", twist)
    got = host.get(page.url).is_complete(page.octets)
    told = re.match(r"(?i)^version=[^,]*, *contentlength=(\d+)$", field or "")
    if told and int(told[1]) != SIZE:
        assert got.document["peerdist"]["encoded"] is False


@pytest.mark.parametrize("alone", [False, True])
def test_tiny_segments(origin, alone):
    """Of one byte each: as many as nobody else would make.  alone: the service
    goes away, and all hashes are computed by the client."""
    octets = os.urandom(3 * BLOCK)
    page = origin.add("/file", Page(octets))
    described = {bytes([i]): content.description2(bytes([i]))
                 for i in range(256)}
    info = content.v2([described[octets[i:i + 1]]
                       for i in range(len(octets))])
    page.twist("content", lambda _r, _a: Answer(200, {
        "Content-Encoding": "peerdist", **page.validators,
        PEERDIST: f"Version=1.1, ContentLength={len(octets)}"}, info))
    with hosts() as (host,):
        def kill(_request, _answer):
            host.daemon.process.kill()
            host.daemon.wait()
        if alone:
            page.once("range", kill)
        host.get(origin.url("/file")).is_complete(octets)


# Codings.

@pytest.mark.parametrize("coding", ["PeerDist", "PEERDIST", " peerdist ",
                                    "peerdist,", "identity, peerdist"])
def test_coding_in_another_form(host, origin, coding):
    page = serve(origin, 1)
    page.twist("content", lambda _r, a: a.fields.update(
        {"Content-Encoding": coding}))
    got = host.get(page.url).is_complete(page.octets)
    assert got.document["peerdist"]["encoded"] is True


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("coding", [
    "gzip", "gzip, peerdist", "peerdist, gzip", "br", "deflate", "x-peerdist",
    "peerdist, peerdist", "nonsense"])
def test_coding_that_nobody_asked_for(host, origin, coding, always):
    """What is in it is not the file; without PeerDist the file comes, if the
    server does not always do it."""
    page = serve(origin, 1)
    kinds = ("content", "plain") if always else ("content",)
    for kind in kinds:
        page.twist(kind, lambda _r, a: a.fields.update(
            {"Content-Encoding": coding}))
    got = host.get(page.url)
    is_right_or_fails(got, page.octets)
    if always:
        assert got.code == NETWORK
        assert coding.partition(",")[0] in got.document["error"]["message"] \
            or "coding" in got.document["error"]["message"]


@versions
def test_coding_is_stripped(host, origin, version):
    """Something between server and client takes the field away: content
    information is not the file."""
    page = serve(origin, version)
    page.twist("content", lambda _r, a: a.fields.pop("Content-Encoding")
               and None)
    got = host.get(page.url)
    is_right_or_fails(got, page.octets)


@versions
def test_coding_is_stripped_always(host, origin, version):
    """It is an error then, and never a file."""
    page = serve(origin, version)

    def strip(_request, _answer):
        answer = page.encoded(page.now)
        del answer.fields["Content-Encoding"]
        return answer
    for kind in ("content", "plain"):
        page.twist(kind, strip)
    got = host.get(page.url)
    assert got.code == NETWORK and got.octets is None


# Ranges.

def flipped(answer, at=0):
    body = bytearray(answer.body)
    body[at] ^= 1
    return answer.replace(bytes(body))


def other_range(request, answer):
    """The next block instead."""
    begin, end = request.range(SIZE)
    answer.fields["Content-Range"] = \
        f"bytes {begin + 1}-{min(end, SIZE - 1)}/{SIZE}"
    return answer


WRONG_RANGES = {
    "first byte": lambda r, a: flipped(a),
    "last byte": lambda r, a: flipped(a, -1),
    "all bytes": lambda r, a: a.replace(os.urandom(len(a.body))),
    "another range": other_range,
    "no Content-Range": lambda r, a: a.fields.pop("Content-Range") and None,
    "garbage": lambda r, a: a.fields.update({"Content-Range": "x"}),
    "huge": lambda r, a: a.fields.update(
        {"Content-Range": f"bytes 0-{1 << 64}/{1 << 65}"}),
    "another total": lambda r, a: a.fields.update({"Content-Range": a.fields[
        "Content-Range"].rpartition("/")[0] + f"/{SIZE + 1}"}),
    "multipart": lambda r, a: a.fields.update(
        {"Content-Type": "multipart/byteranges; boundary=x"}) or
    (a.fields.pop("Content-Range") and None),
    "200 of that range": lambda r, a: setattr(a, "status", 200),
    "shorter": lambda r, a: a.replace(a.body[:-1]),
    "empty": lambda r, a: a.replace(b""),
    "longer": lambda r, a: a.replace(a.body + b"x"),
    "breaks off": lambda r, a: a.split(BLOCK // 2, closes),
    "is reset": lambda r, a: a.split(BLOCK // 2, resets),
    "gzip": lambda r, a: a.fields.update({"Content-Encoding": "gzip"}),
    "peerdist": lambda r, a: a.fields.update(
        {"Content-Encoding": "peerdist"}),
    "404": lambda r, a: Answer(404, {}, b"no"),
    "416": lambda r, a: Answer(416, {"Content-Range": f"bytes */{SIZE}"}),
    "416 of another": lambda r, a: Answer(
        416, {"Content-Range": "bytes */1"}),
    "500": lambda r, a: Answer(500, {}, b"no"),
    "503": lambda r, a: Answer(503, {"Retry-After": "100000"}, b"no"),
    "302": lambda r, a: Answer(302, {"Location": "/elsewhere"}, b"no"),
    "302 to itself": lambda r, a: Answer(302, {"Location": r.target}, b"no"),
    "304": lambda r, a: Answer(304),
    "204": lambda r, a: Answer(204),
    "999": lambda r, a: Answer(999),
}


# Asked for again, after a while: see patients.
LASTING = ("breaks off", "is reset", "302 to itself")


@versions
@pytest.mark.parametrize("times, what", [
    *(("once", what) for what in WRONG_RANGES),
    *(("always", what) for what in WRONG_RANGES if what not in LASTING)])
def test_wrong_range(host, origin, version, what, times):
    page = serve(origin, version)
    host.add(page.content, [3])
    twist = page.once if times == "once" else page.twist
    twist("range", WRONG_RANGES[what])
    is_right_or_fails(host.get(page.url), page.octets)
    # Nothing wrong got into the cache either.
    host.cached(page.info, page.octets)


@versions
@pytest.mark.parametrize("what", [
    "first byte", "last byte", "all bytes", "another range",
    "no Content-Range", "416", "200 of that range"])
def test_wrong_range_does_not_prevent_a_download(host, origin, version, what):
    page = serve(origin, version)
    page.twist("range", WRONG_RANGES[what])
    host.get(page.url).is_complete(page.octets)


@versions
def test_range_of_another(host, origin, version):
    """It says itself that it is not the same, in spite of If-Range."""
    page = serve(origin, version)
    page.once("range", lambda _r, a: a.fields.update({"ETag": '"two"'}))
    got = host.get(page.url).is_complete(page.octets)
    assert got.document["restarts"] == 1


@versions
@pytest.mark.parametrize("at", [0, BLOCK - 1, BLOCK, SIZE - 1])
def test_wrong_range_without_service(origin, version, at):
    """Nobody but the client itself is left to notice."""
    page = serve(origin, version)
    with hosts() as (host,):
        def lie(_request, answer):
            host.daemon.process.kill()
            host.daemon.wait()
            return flipped(answer, at)
        page.once("range", lie)
        got = host.get(page.url).is_complete(page.octets)
        assert got.document["restarts"] == 1


@versions
def test_server_without_ranges(host, origin, version):
    """The whole comes instead, and that is what is taken."""
    page = serve(origin, version)
    page.twist("range", lambda _r, _a: Answer(
        200, page.validators, page.octets))
    host.get(page.url).is_complete(page.octets)


@versions
@pytest.mark.parametrize("framing", ["chunked", "closed", "length"])
@pytest.mark.parametrize("status", [200, 206])
def test_endless_range(host, origin, version, framing, status):
    """It is left when it has given what was asked for."""
    page = serve(origin, version)

    def frame(_request, answer):
        del answer.fields["Content-Length"]
        whole = answer.body
        answer.status = status

        def more():
            yield whole
            while True:
                yield bytes(1 << 16)
        answer.body = more()
        if framing == "length":
            answer.fields["Content-Length"] = str(1 << 40)
        elif framing == "chunked":
            answer.fields["Transfer-Encoding"] = "chunked"
            answer.body = (b"%x\r\n%s\r\n" % (len(part), part)
                           for part in more())
    page.twist("range", frame)
    host.get(page.url, prefix=(
        "prlimit", f"--fsize={64 << 20}")).is_complete(page.octets)
    assert origin.sent["range"] < 64 << 20


# Plain bodies.

@pytest.mark.parametrize("then", [closes, resets])
@pytest.mark.parametrize("at", [0, 1, SIZE - 1])
def test_plain_body_breaks_off(host, origin, at, then):
    page = serve(origin)
    page.twist("content", lambda _r, a: a.split(at, then))
    page.twist("plain", lambda _r, a: a.split(at, then))
    got = host.get(page.url)
    if at == 0:
        assert got.code == NETWORK and got.octets is None
    else:
        got.is_stopped()


def test_chunks_break_off(host, origin):
    page = serve(origin)

    def cut(_request, answer):
        del answer.fields["Content-Length"]
        answer.fields["Transfer-Encoding"] = "chunked"
        whole = b"".join(chunked(page.octets, 10000))
        # All of the body is there, but not its end.
        answer.body = whole[:-5]
        answer.split(len(answer.body), closes)
    page.twist("content", cut)
    host.get(page.url).is_stopped()


@pytest.mark.parametrize("head", [
    b"", b"\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 20\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n", b"SSH-2.0-x\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: nonsense\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nEtag: half a he",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"ffffffffffffffffff\r\n"])
def test_malformed_answer(host, origin, head):
    def twist(request):
        answer = Answer()
        answer.head = head
        answer.split(0, closes)
        return answer
    origin.add("/file", twist)
    got = host.get(origin.url("/file"))
    assert got.code == NETWORK, got.err
    assert got.octets is None


def endless_head(page, form):
    """A twist; what it has sent is counted."""
    page.head_sent = 0

    def head():
        yield b"HTTP/1.1 200 OK\r\n"
        piece = b"X: y\r\n" * 10000 if form == "lines" else b"y" * 60000
        while True:
            yield piece
            page.head_sent += len(piece)

    def twist(_request, answer):
        answer.head = head()
        return answer
    return twist


def ending(then, stage):
    """A twist: the connection ends there."""
    def twist(_request, answer):
        if stage == "body":
            return answer.split(10, then)
        whole = answer.head_bytes()

        def head():
            yield whole[:len(whole) // 2] if "half" in stage else b""
            then()
        answer.head = head()
        return answer
    return twist


KINDS = ("content", "range", "hash", "plain")
FORMS = ("lines", "line")
STAGES = ("head", "half a head", "body")


def lasting_page(version, kind):
    """A page of which there is a request of this kind."""
    page = Page(os.urandom(SIZE), version, ready=kind != "hash")
    if kind == "plain":
        page.twist("content", lambda _r, a: a.replace(b"nothing"))
    return page


@pytest.fixture(scope="module", autouse=True)
def patients(host):
    """What is tried again after some time."""
    made = Patients(host)
    for version in (1, 2):
        for kind in KINDS:
            for form in FORMS:
                page = lasting_page(version, kind)
                page.twist(kind, endless_head(page, form))
                made.begin(("endless", version, kind, form), page,
                           "--wait", "0")
        page = Page(os.urandom(32 * BLOCK), version)
        page.twist("range", lambda _r, a: a.split(10 * BLOCK + 5, closes))
        made.begin(("little by little", version), page)
        for what in LASTING:
            page = lasting_page(version, "range")
            page.twist("range", WRONG_RANGES[what])
            made.begin(("range", version, what), page)
    for kind in KINDS:
        for stage in STAGES:
            for then in (closes, resets):
                page = lasting_page(1, kind)
                page.twist(kind, ending(then, stage))
                made.begin(("ends", kind, stage, then), page, "--wait", "0")
    yield made
    made.close()


@versions
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_endless_head(patients, version, kind, form):
    """It is left after some; nothing of it is kept in memory."""
    page, got = patients.end(("endless", version, kind, form))
    is_right_or_fails(got, page.octets)
    if kind == "hash":
        assert got.code == OK
    assert 0 < page.head_sent < 32 << 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("then", [closes, resets])
@pytest.mark.parametrize("stage", STAGES)
def test_connection_ends(patients, kind, then, stage):
    """At every stage of every request."""
    page, got = patients.end(("ends", kind, stage, then))
    is_right_or_fails(got, page.octets)
    if kind == "hash":
        assert got.code == OK


@versions
@pytest.mark.parametrize("what", LASTING)
def test_range_never_comes(patients, version, what):
    page, got = patients.end(("range", version, what))
    is_right_or_fails(got, page.octets)


@versions
def test_little_by_little(patients, version):
    """Each range breaks off, but never before something has come."""
    page, got = patients.end(("little by little", version))
    got.is_complete(page.octets)
    assert got.document["restarts"] == 0


@pytest.mark.parametrize("kind", ["content", "range", "plain"])
def test_connection_once_ends(host, origin, kind):
    """A server that was restarted."""
    page = serve(origin, 1)

    def twist(_request, _answer):
        raise Gone
    page.once(kind, twist)
    is_right_or_fails(host.get(page.url), page.octets)


@pytest.mark.parametrize("stage", ["connected", "head", "body", "range",
                                   "hash"])
def test_silence_is_interrupted(host, origin, stage):
    """Whoever waits in vain can end it at once."""
    page = serve(origin, 1 if stage in ("range", "hash") else 0,
                 ready=stage != "hash")
    kind = stage if stage in ("range", "hash") else "content"
    if stage == "body":
        page.twist(kind, lambda r, a: a.split(1000, r.wait_gone))
    else:
        page.twist(kind, lambda r, _a: r.wait_gone())
    url, silent = page.url, None
    if stage == "connected":
        silent = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        silent.settimeout(DEADLINE)
    running = host.begin(url)
    if silent:
        connection, _ = silent.accept()
        assert connection.recv(10)
    else:
        origin.wait_request(kind)
    got = running.signal().end()
    if stage == "hash":
        got.is_complete(page.octets)
    else:
        assert got.code == FAILED
        assert got.octets is None
    if silent:
        connection.close()
        silent.close()


def test_slow_drip(host, origin):
    """Byte by byte: it takes what it takes."""
    page = serve(origin, 1, size=BLOCK)
    host.add(page.content, [])

    def drip(_request, answer):
        whole = answer.body
        answer.body = (whole[i:i + 1] for i in range(len(whole)))
    page.twist("content", drip)
    page.twist("range", lambda r, a: drip(r, a) and None)
    host.get(page.url).is_complete(page.octets)


# Statuses.

@pytest.mark.parametrize("status", [
    400, 401, 403, 404, 407, 410, 416, 429, 500, 502, 503, 504, 204, 304, 206,
    299, 300])
def test_status(host, origin, status):
    origin.add("/file", lambda _r: Answer(
        status, {"ETag": '"x"', "WWW-Authenticate": 'Basic realm="x"'},
        b"" if status in (204, 304) else b"not the file"))
    got = host.get(origin.url("/file")).is_failed()
    assert str(status) in got.document["error"]["message"]
    assert len(origin.requests) <= 4


def test_nobody_listens(host):
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    host.get(f"http://127.0.0.1:{port}/file").is_failed()


def test_unknown_host(host):
    host.get("http://no-such-host.invalid/file").is_failed()


@versions
def test_error_page_in_peerdist(host, origin, version):
    """A coding does not make a 404 a file."""
    page = serve(origin, version)
    for kind in ("content", "plain"):
        page.twist(kind, lambda _r, a: setattr(a, "status", 404))
    host.get(page.url).is_failed()


# Redirects.

@pytest.mark.parametrize("to", [
    "/file", "/loop", "http://127.0.0.1:{port}/file", "file:///etc/hostname",
    "ftp://127.0.0.1:{port}/file", "gopher://127.0.0.1:{port}/_x",
    "dict://127.0.0.1:{port}/x", "scp://127.0.0.1/x", "javascript:alert(1)",
    "//", "http://", "", "http://127.0.0.1:99999/", "http://[::1", "\x80\xff"])
def test_redirect_to_nowhere(host, origin, to):
    to = to.format(port=origin.port)
    origin.add("/file", lambda _r: Answer(302, {"Location": to}, b"moved"))
    origin.add("/loop", lambda _r: Answer(302, {"Location": "/file"}))
    got = host.get(origin.url("/file"))
    got.is_failed()
    assert len(origin.requests) <= 12


def test_redirect_without_location(host, origin):
    origin.add("/file", lambda _r: Answer(302, {}, b"moved"))
    host.get(origin.url("/file")).is_failed()


def test_too_many_redirects(host, origin):
    for i in range(20):
        origin.add(f"/{i}", lambda _r, i=i: Answer(
            302, {"Location": f"/{i + 1}"}))
    host.get(origin.url("/0")).is_failed()
    assert len(origin.requests) == 11


@versions
def test_redirect_of_ranges(host, origin, version):
    """To another server: what it says is held against the hashes."""
    page = serve(origin, version)
    with Origin() as other:
        evil = Page(os.urandom(SIZE))
        other.add("/evil", evil)
        page.twist("range", lambda _r, _a: Answer(
            302, {"Location": other.url("/evil")}))
        is_right_or_fails(host.get(page.url), page.octets)


# Several at once.

@versions
def test_every_second_range_is_wrong(host, origin, version):
    """Others are right meanwhile."""
    page = serve(origin, version)
    host.add(page.content, [1, 3, 5, 7])
    count = iter(range(1 << 30))

    def twist(_request, answer):
        return flipped(answer) if next(count) % 2 else None
    page.twist("range", twist)
    host.get(page.url).is_complete(page.octets)


@versions
def test_one_range_never_comes(host, origin, version):
    """The others do, and the one that hangs is interrupted."""
    page = serve(origin, version)
    host.add(page.content, [1, 3, 5, 7])
    page.once("range", lambda r, a: a.split(100, r.wait_gone))
    running = host.begin(page.url)
    origin.wait(lambda: len(origin.of("range")) >= 5, "all ranges")
    got = running.signal().end()
    assert got.code == FAILED
    assert got.octets is None


def test_wrong_information_of_a_cached_file(host, origin):
    """What somebody got before is described wrongly now."""
    page = serve(origin, 1)
    host.get(page.url).is_complete(page.octets)
    other = Page(os.urandom(SIZE), 1)
    page.twist("content", lambda _r, a: a.replace(other.info))
    host.get(page.url).is_complete(page.octets)


def test_others_description_gives_others_bytes(host, origin):
    """Content information of a file that is in the cache, under another name
    and with its length: that is what the server has described, and nothing
    tells that it is not meant."""
    page = serve(origin, 1)
    other = serve(origin, 1, path="/other")
    host.get(other.url).is_complete(other.octets)
    page.twist("content", lambda _r, a: a.replace(other.info))
    host.get(page.url).is_complete(other.octets)
