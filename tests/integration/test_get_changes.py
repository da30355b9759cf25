# SPDX-License-Identifier: BSD-2-Clause
"""peerdist-get when downloads are broken off and continued, and when the
resource changes meanwhile: whatever happens, a finished file is one of the
resource's representations, whole."""

import json
import os
import signal

import pytest

import content
from lab import wait_until
from getting import FILE, NETWORK, OK, Patients, hosts, parts_of
from origin import Answer, Origin, Page, closes, resets

BLOCK = content.BLOCK
SIZE = 9 * BLOCK + 123
MIB = 1 << 20
HAD = SIZE // 2
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


# Continuing.

def broken(host, origin, page, at=HAD, path=None):
    """A download of which so many bytes came before the server closed."""
    page.twist("content", lambda _r, a: a.split(at, closes))
    got = host.get(page.url, path=path).is_stopped()
    page.twists.clear()
    origin.forget()
    return got


def again(host, page, got):
    return host.get(page.url, "--continue", path=got.path).is_complete(
        page.octets)


@pytest.mark.parametrize("etag, modified", [
    ('"one"', "Sun, 01 Nov 2026 10:00:00 GMT"), ('"one"', None),
    (None, "Sun, 01 Nov 2026 10:00:00 GMT"),
    ('W/"one"', "Sun, 01 Nov 2026 10:00:00 GMT")])
@pytest.mark.parametrize("at", [1, HAD, SIZE - 1])
def test_continue(host, origin, at, etag, modified):
    """Only the rest is asked for, once it is clear that there is no content
    information."""
    page = serve(origin, etag=etag, modified=modified)
    got = broken(host, origin, page, at)
    assert parts_of(got.path)[0].read_bytes() == page.octets[:at]
    done = again(host, page, got)
    assert [r.kind for r in origin.requests] == ["content", "plain"]
    request = origin.requests[1]
    assert request.get("Range") == f"bytes={at}-"
    strong = etag if etag and not etag.startswith("W/") else modified
    assert request.get("If-Range") == strong
    assert request.get("Accept-Encoding") is None
    assert origin.sent["plain"] == SIZE - at
    assert (done.by, done.kept) == ((0, 0, SIZE - at), at)


def test_continue_without_service(host, origin):
    """Then one request is enough."""
    page = serve(origin)
    got = broken(host, origin, page)
    host.get(page.url, "--continue", path=got.path,
             env={"PEERDIST_SOCKET": "/nonexistent"}).is_complete(page.octets)
    request, = origin.requests
    assert request.get("Range") == f"bytes={HAD}-"
    assert origin.total == SIZE - HAD


def test_continue_what_is_complete(host, origin):
    """Killed between the last byte and the name."""
    page = serve(origin)
    got = broken(host, origin, page)
    parts_of(got.path)[0].write_bytes(page.octets)
    done = again(host, page, got)
    assert (done.by, done.kept) == ((0, 0, 0), SIZE)


def test_continue_again_and_again(host, origin):
    page = serve(origin)
    got = broken(host, origin, page, 1000)
    for _ in range(5):
        page.twist("plain", lambda _r, a: a.split(1000, closes))
        host.get(page.url, "--continue", path=got.path).is_stopped()
    page.twists.clear()
    again(host, page, got)
    assert origin.sent["plain"] == SIZE - 1000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGKILL])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_continue_after_a_signal(host, origin, version, number):
    """What has come need not come again."""
    page = serve(origin, version, size=4 * MIB + 5)
    page.twist("range" if version else "content",
               lambda r, a: a.split(3 * MIB + 7, r.wait_gone))
    running = host.begin(page.url)
    part, _ = parts_of(running.path)
    wait_until(lambda: part.exists() and part.stat().st_size >= 3 * MIB,
               "3 MiB")
    if version:
        host.wait_cached(page, 3 * MIB)
    got = running.signal(number).end()
    assert got.code != OK and got.octets is None
    page.twists.clear()
    origin.forget()
    done = again(host, page, got)
    assert done.by[0] + done.kept >= 3 * MIB
    assert done.by[2] == origin.sent["range" if version else "plain"] <= \
        MIB + 5


@pytest.mark.parametrize("change", ["replaced", "touched", "truncated",
                                    "grown", "gone", "plain again"])
def test_continue_when_it_has_changed(host, origin, change):
    """From the start."""
    page = serve(origin)
    got = broken(host, origin, page)
    old = page.octets
    page.change({"replaced": os.urandom(SIZE), "touched": old,
                 "truncated": old[:1000], "grown": old + b"more",
                 "gone": b"", "plain again": os.urandom(SIZE)}[change])
    if change == "plain again":
        # A server without ranges.
        page.twist("plain", lambda _r, _a: Answer(
            200, page.validators, page.octets))
    done = again(host, page, got)
    assert (done.by, done.kept) == ((0, 0, len(page.octets)), 0)


@pytest.mark.parametrize("change", ["replaced", "grown", "touched"])
def test_continue_when_it_changes_now(host, origin, change):
    """Between the answer that it is the same and the request for the rest."""
    page = serve(origin)
    got = broken(host, origin, page)
    page.once("plain", new_from(page, change))
    again(host, page, got)


def test_continue_when_ranges_contradict(host, origin):
    """206 to If-Range, but of another representation."""
    page = serve(origin)
    got = broken(host, origin, page)

    def lie(_request, _answer):
        page.change(os.urandom(SIZE + 5))
        return Answer(206, {
            "Content-Range": f"bytes {HAD}-{SIZE + 4}/{SIZE + 5}",
            **page.validators}, page.octets[HAD:])
    page.once("plain", lie)
    again(host, page, got)


@pytest.mark.parametrize("field", [
    "bytes 0-9/10", f"bytes {HAD + 1}-{SIZE - 1}/{SIZE}",
    f"bytes {HAD - 1}-{SIZE - 1}/{SIZE}", f"bytes {HAD}-{SIZE - 2}/{SIZE}",
    f"bytes {HAD}-{SIZE}/{SIZE}", f"bytes {HAD}-{SIZE - 1}/{SIZE + 1}",
    f"bytes {HAD}-{SIZE - 1}/*", f"lines {HAD}-{SIZE - 1}/{SIZE}", "",
    "bytes */10", None])
def test_continue_with_another_range(host, origin, field):
    page = serve(origin)
    got = broken(host, origin, page)

    def lie(request, answer):
        if request.get("Range") is None:
            return
        answer.fields.pop("Content-Range", None)
        if field is not None:
            answer.fields["Content-Range"] = field
    page.twist("plain", lie)
    again(host, page, got)


def test_continue_another_url(host, origin):
    """The partial file is not of this."""
    page = serve(origin)
    got = broken(host, origin, page)
    other = serve(origin, path="/other")
    done = host.get(other.url, "--continue", path=got.path)
    done.is_complete(other.octets)
    assert origin.requests[0].get("Range") is None


@pytest.mark.parametrize("damage", [
    "no sidecar", "empty sidecar", "garbage", "not an object", "other types",
    "no part", "longer part", "huge", "deep", "part is a folder"])
def test_continue_after_damage(host, origin, damage):
    """It may be useless; it does no harm."""
    page = serve(origin)
    got = broken(host, origin, page)
    part, sidecar = parts_of(got.path)
    {
        "no sidecar": sidecar.unlink,
        "empty sidecar": lambda: sidecar.write_bytes(b""),
        "garbage": lambda: sidecar.write_bytes(os.urandom(300)),
        "not an object": lambda: sidecar.write_text("[1]"),
        "other types": lambda: sidecar.write_text(json.dumps({
            name: [] for name in json.loads(sidecar.read_text())})),
        "no part": part.unlink,
        "longer part": lambda: part.write_bytes(os.urandom(SIZE + 1)),
        "huge": lambda: sidecar.write_bytes(b" " * (32 << 20)),
        "deep": lambda: sidecar.write_text("[" * 100000),
        "part is a folder": lambda: (part.unlink(), part.mkdir()),
    }[damage]()
    done = host.get(page.url, "--continue", path=got.path)
    if damage == "part is a folder":
        assert done.code == FILE
    else:
        done.is_complete(page.octets)


def test_continue_with_nothing(host, origin):
    page = serve(origin)
    got = host.get(page.url, "--continue").is_complete(page.octets)
    assert origin.requests[0].get("Range") is None
    # Nor with the finished file: it is got again.
    again(host, page, got)


def test_without_continue_from_the_start(host, origin):
    page = serve(origin)
    got = broken(host, origin, page)
    host.get(page.url, path=got.path).is_complete(page.octets)
    assert origin.requests[0].get("Range") is None


def test_nothing_to_continue_without_validators(host, origin):
    page = serve(origin, etag=None, modified=None)
    page.twist("content", lambda _r, a: a.split(HAD, closes))
    host.get(page.url).is_failed()


def test_weak_validators_are_none(host, origin):
    page = serve(origin, etag='W/"one"', modified=None)
    page.twist("content", lambda _r, a: a.split(HAD, closes))
    host.get(page.url).is_failed()


@versions
def test_continue_what_is_encoded_now(host, origin, version):
    """The server had no hashes the first time."""
    page = serve(origin, version, ready=False)
    got = broken(host, origin, page)
    page.ready = True
    again(host, page, got)


@versions
def test_continue_encoded_that_has_changed(host, origin, version):
    page = serve(origin, version, size=2 * MIB)
    page.twist("range", lambda r, a: a.split(MIB + 7, r.wait_gone))
    running = host.begin(page.url)
    host.wait_cached(page, MIB)
    got = running.signal().end()
    page.twists.clear()
    page.change(os.urandom(2 * MIB))
    again(host, page, got)


# Changes.

CHANGES = {
    "replaced": lambda old: os.urandom(len(old)),
    "one bit": lambda old: old[:-1] + bytes([old[-1] ^ 1]),
    "touched": lambda old: old,
    "truncated": lambda old: old[:len(old) // 3],
    "emptied": lambda old: b"",
    "grown": lambda old: old + os.urandom(BLOCK),
}
changes = pytest.mark.parametrize("change", CHANGES)


def change_it(page, change, **validators):
    """From now on it is another."""
    page.change(CHANGES[change](page.octets), **validators)


def old_then(page, change, **validators):
    """A twist: this answer is as it was, all after it are not."""
    def twist(_request, _answer):
        change_it(page, change, **validators)
    return twist


def new_from(page, change, **validators):
    """A twist: this answer is of the new one already."""
    def twist(request, _answer):
        change_it(page, change, **validators)
        return page.answer(request)
    return twist


@pytest.fixture(scope="module", autouse=True)
def patients(host):
    """Broken ranges are asked for again after a while."""
    made = Patients(host)
    for version in (1, 2):
        for change in CHANGES:
            page = Page(os.urandom(SIZE), version)
            page.once("range", lambda _r, a, page=page, change=change: a.split(
                BLOCK + 5, lambda: (change_it(page, change), closes())))
            made.begin((version, change), page)
    yield made
    made.close()


def is_new(host, page, restarts=True):
    old = page.octets
    got = host.get(page.url, "--wait", "0")
    got.is_complete(page.octets)
    if restarts and page.octets != old:
        assert got.document["restarts"] >= 1
    return got


@changes
@versions
def test_between_description_and_ranges(host, origin, version, change):
    page = serve(origin, version)
    page.once("range", new_from(page, change))
    is_new(host, page)


@changes
@versions
def test_between_two_ranges(host, origin, version, change):
    page = serve(origin, version)
    host.add(page.content, range(1, 9, 2))
    page.once("range", old_then(page, change))
    is_new(host, page)


@changes
@versions
def test_inside_a_range(patients, version, change):
    """The server notices, and closes."""
    page, got = patients.end((version, change))
    got.is_complete(page.octets)
    assert got.document["restarts"] == 1


@changes
@versions
def test_server_notices_nothing(host, origin, version, change):
    """The validators stay: only the hashes tell."""
    page = serve(origin, version)
    page.once("range", new_from(page, change, etag=page.etag,
                                 modified=page.modified))
    if change == "touched":
        is_new(host, page, restarts=False)
        return
    # The description is of the new one as well by now.
    is_new(host, page)


@changes
@versions
def test_server_keeps_old_hashes(host, origin, version, change):
    """It describes what it has not got any more, for ever."""
    page = serve(origin, version)
    old = page.info
    change_it(page, change, etag=page.etag, modified=page.modified)
    size = SIZE

    def lie(_request, answer):
        answer.fields.update({
            "Content-Encoding": "peerdist",
            "X-P2P-PeerDist": f"Version=1.1, ContentLength={size}"})
        answer.replace(old)
    page.twist("content", lie)
    page.twist("hash", lie)
    is_new(host, page, restarts=change != "touched")


@versions
def test_half_is_in_the_cache(host, origin, version):
    """Old blocks never get into the new file."""
    page = serve(origin, version)
    host.add(page.content, [0, 1, 2, 7, 8])
    page.once("range", new_from(page, "replaced"))
    is_new(host, page)


@versions
def test_new_body_comes_with_a_range(host, origin, version):
    """A 200 is the whole new one, and need not be got again."""
    page = serve(origin, version)
    page.once("range", new_from(page, "replaced"))
    is_new(host, page)
    assert origin.total <= 4 * SIZE


@changes
def test_while_a_plain_body_is_sent(host, origin, change):
    """The server closes: what it began is not finished as another."""
    page = serve(origin)
    old = page.octets

    def twist(_request, answer):
        answer.split(HAD, lambda: (change_it(page, change), closes()))
    page.once("content", twist)
    got = host.get(page.url)
    if got.code == OK:
        got.is_complete(page.octets)
        return
    got.is_stopped()
    part = parts_of(got.path)[0].read_bytes()
    assert old.startswith(part)
    again(host, page, got)


@changes
@versions
def test_between_body_and_hash_request(host, origin, version, change):
    """Its hashes are not those of what was got."""
    page = serve(origin, version, ready=False)
    old = page.octets
    page.once("content", old_then(page, change))
    got = host.get(page.url, "--wait", "0")
    got.is_complete(page.octets)
    if page.octets != old:
        assert got.document["restarts"] >= 1


@changes
@versions
def test_hashes_of_another(host, origin, version, change):
    """The same, and the validators do not tell; what is there already is
    replaced by what the hashes say."""
    page = serve(origin, version, ready=False)

    old = page.octets

    def twist(_request, _answer):
        change_it(page, change, etag=page.etag, modified=page.modified)
        page.ready = True
    page.once("content", twist)
    got = host.get(page.url, "--wait", "0")
    # Of nothing there are no hashes, so nobody tells.
    got.is_complete(page.octets if page.octets else old)


@versions
def test_mixed_body(host, origin, version):
    """Half of it is old, half is new, and the server says nothing."""
    page = serve(origin, version, ready=False)
    old, new = page.octets, os.urandom(SIZE)

    def twist(_request, answer):
        page.change(new, page.etag, page.modified)
        page.ready = True
        answer.replace(old[:HAD] + new[HAD:])
    page.once("content", twist)
    got = host.get(page.url).is_complete(new)
    assert got.document["restarts"] >= 1


@versions
def test_it_never_stands_still(host, origin, version):
    """Another one for every request: it gives up after some."""
    page = serve(origin, version)
    count = []

    def twist(request, _answer):
        count.append(1)
        page.change(os.urandom(SIZE), f'"{len(count)}"')
        answer = page.answer(request)
        # Nor is any body ever complete.
        if answer.fields.get("Content-Encoding") is None:
            answer.split(HAD, resets)
        return answer
    for kind in ("content", "range", "plain", "hash"):
        page.twist(kind, twist)
    got = host.get(page.url)
    assert got.code == NETWORK and got.octets is None
    assert len(count) < 20


@versions
def test_it_becomes_nothing(host, origin, version):
    """Deleted: the origin has it no more."""
    page = serve(origin, version)
    page.twist("range", lambda _r, _a: Answer(404, {}, b"gone"))
    page.twist("plain", lambda _r, _a: Answer(404, {}, b"gone"))
    got = host.get(page.url)
    if got.code == OK:  # started again, and it was there
        got.is_complete(page.octets)
    else:
        assert got.code == NETWORK and got.octets is None


@versions
def test_encoded_becomes_plain(host, origin, version):
    """The server loses its hashes: nothing is wrong with that."""
    page = serve(origin, version)

    def twist(_request, _answer):
        page.ready = False
    page.twist("range", twist)
    got = host.get(page.url).is_complete(page.octets)
    assert got.document["restarts"] == 0
