# SPDX-License-Identifier: BSD-2-Clause
"""peerdist-get with origins and services that behave: what it asks, who gives
the bytes, what it leaves behind and what it says."""

import os
import pty
import re
import select
import signal
import socket
import threading
import time

import pytest

import content
import lab
from conftest import DEADLINE, OTHER_UID, as_uid, needs_root, temporary_folder
from getting import (FAILED, FILE, NETWORK, OK, USAGE, Host, hosts,
                     parts_of)
from origin import (MODIFIED, PEERDIST, PEERDIST_EX, Answer, Origin, Page,
                    closes)

BLOCK = content.BLOCK
SIZE = 9 * BLOCK + 123
MIB = 1 << 20
versions = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture(scope="module")
def branch():
    with hosts(2) as made:
        yield made


@pytest.fixture
def host(branch):
    return branch[0]


@pytest.fixture
def origin():
    with Origin() as made:
        yield made


def serve(origin, size=SIZE, version=0, path="/file", **more):
    """A page of its own."""
    page = origin.add(path, Page(os.urandom(size), version, **more))
    page.url = origin.url(path)
    return page


# Usage.

@pytest.mark.parametrize("args", [
    [], ["--nope", "http://127.0.0.1/x"], ["-o"], ["-o", "x"],
    ["http://127.0.0.1/x", "http://127.0.0.1/y"], ["-o", "", "http://h/x"],
    ["--wait", "soon", "http://127.0.0.1/x"], ["--wait"],
    ["file:///etc/hostname"], ["ftp://127.0.0.1/x"], ["gopher://127.0.0.1/x"],
    ["/etc/hostname"], [""], ["-o", "x", "file:///etc/hostname"],
    ["http://127.0.0.1/"], ["http://127.0.0.1"], ["http://127.0.0.1/x/"],
    ["http://127.0.0.1/x/.."], ["http://127.0.0.1/?x=/y"],
    ["-o", "x", "http://"], ["-o", "x", "http://[::1/x"]])
def test_usage(host, args):
    folder = host.place().parent
    got = host.bare(*args, cwd=folder)
    assert (got.code, got.out) == (USAGE, b"")
    assert "peerdist-get" in got.err
    assert os.listdir(folder) == []


def test_help_and_version(host):
    shown = host.bare("--help")
    assert shown.code == OK and shown.err == ""
    for option in ("-o", "--no-peers", "--json", "--quiet", "--continue",
                   "--wait", "--version", "--help"):
        assert option.encode() in shown.out
    assert re.match(rb"peerdist-get \d+\.\d+", host.bare("--version").out)


# A server without PeerDist.

@pytest.mark.parametrize("size", [0, 1, SIZE, 3 << 20])
def test_plain_server(host, origin, size):
    page = serve(origin, size)
    got = host.get(page.url).is_complete(page.octets)
    assert got.by == (0, 0, size)
    assert origin.total == size
    assert [r.kind for r in origin.requests] == ["content"]
    told = got.document["peerdist"]
    assert told["encoded"] is False
    assert got.document["url"] == page.url
    assert got.document["restarts"] == 0
    assert got.document["given_to_cache"] == 0
    assert got.document["seconds"] >= 0


@pytest.mark.parametrize("framing", ["chunked", "closed", "tiny"])
def test_plain_server_without_length(host, origin, framing):
    page = serve(origin, 2 * BLOCK + 1)

    def frame(_request, answer):
        whole = answer.body
        size = 7 if framing == "tiny" else 10000

        def pieces():
            for at in range(0, len(whole), size):
                part = whole[at:at + size]
                yield part if framing == "closed" else (
                    b"%x\r\n%s\r\n" % (len(part), part))
            if framing != "closed":
                yield b"0\r\n\r\n"
        del answer.fields["Content-Length"]
        if framing != "closed":
            answer.fields["Transfer-Encoding"] = "chunked"
        answer.body = pieces()
    page.twist("content", frame)
    host.get(page.url).is_complete(page.octets)


def test_first_request(host, origin):
    """Its fields, exactly."""
    page = serve(origin, 1)
    host.get(page.url).is_complete(page.octets)
    request, = origin.requests
    assert (request.method, request.version) == ("GET", "HTTP/1.1")
    assert request.get("Accept-Encoding") == "identity, peerdist"
    assert request.get(PEERDIST) == "Version=1.1"
    assert request.get(PEERDIST_EX) == (
        "MinContentInformation=1.0, MaxContentInformation=2.0")
    assert request.get("Host") == f"127.0.0.1:{origin.port}"
    assert re.match(r"peerdist-get/\d", request.get("User-Agent"))
    assert {n.lower() for n, _ in request.fields} <= {
        "host", "user-agent", "accept", "accept-encoding",
        PEERDIST.lower(), PEERDIST_EX.lower()}


def test_no_validators(host, origin):
    page = serve(origin, SIZE, etag=None, modified=None)
    host.get(page.url).is_complete(page.octets)


# Content information.

@pytest.mark.parametrize("size", [1, BLOCK, SIZE, content.SEGMENT + BLOCK + 7])
@versions
def test_origin_then_cache_then_peer(branch, origin, version, size):
    page = serve(origin, size, version)
    first, second = branch
    got = first.get(page.url).is_complete(page.octets)
    assert got.by == (0, 0, size)
    assert origin.sent["content"] == len(page.info)
    assert origin.sent["range"] == size
    assert not origin.of("plain") and not origin.of("hash")
    told = got.document["peerdist"]
    assert (told["encoded"], told["version"]) == (True, version)
    # The second time.
    got = first.get(page.url).is_complete(page.octets)
    assert got.by == (size, 0, 0)
    assert origin.sent["range"] == size
    # Somebody else.
    got = second.get(page.url).is_complete(page.octets)
    assert got.by == (0, size, 0)
    assert origin.sent["range"] == size
    got = second.get(page.url).is_complete(page.octets)
    assert got.by == (size, 0, 0)
    assert origin.total == size + 4 * len(page.info)


def ranges_of(origin, page):
    """What was asked for, in order."""
    return sorted(r.range(len(page.octets)) for r in origin.of("range"))


@versions
@pytest.mark.parametrize("had", [[0], [8], [9], [1, 3, 5, 7], [4, 5],
                                 [0, 1, 2, 3, 4, 5, 6, 7, 8], list(range(10))])
def test_only_what_is_missing(host, origin, version, had):
    page = serve(origin, SIZE, version)
    host.add(page.content, had)
    got = host.get(page.url).is_complete(page.octets)
    cached = sum(page.content.units[i][1] for i in had)
    assert got.by == (cached, 0, SIZE - cached)
    assert origin.sent["range"] == SIZE - cached
    # Together they are the rest, and nothing twice.
    end = 0
    missing = []
    for begin, stop in ranges_of(origin, page):
        assert begin >= end
        end = stop
        missing += range(begin, stop)
    assert missing == [at for i, (begin, n) in enumerate(page.content.units)
                       if i not in had for at in range(begin, begin + n)]
    assert host.cached(page.info, page.octets) == SIZE


@pytest.mark.parametrize("etag, modified, sent", [
    ('"one"', MODIFIED, '"one"'), ('"one"', None, '"one"'),
    ('W/"weak"', MODIFIED, MODIFIED), (None, MODIFIED, MODIFIED)])
def test_missing_data_request(host, origin, etag, modified, sent):
    """Its fields, exactly."""
    page = serve(origin, SIZE, 1, etag=etag, modified=modified)
    host.add(page.content, [3])
    host.get(page.url).is_complete(page.octets)
    assert len(origin.of("range")) >= 2
    for request in origin.of("range"):
        assert request.get("Accept-Encoding") is None
        assert request.get(PEERDIST) == (
            "Version=1.1, MissingDataRequest=true")
        assert request.get(PEERDIST_EX) is None
        assert request.get("If-Range") == sent
        assert re.fullmatch(r"bytes=\d+-\d+", request.get("Range"))
        assert {n.lower() for n, _ in request.fields} <= {
            "host", "user-agent", "accept", "range", "if-range",
            PEERDIST.lower()}


@versions
def test_what_comes_from_the_origin_is_given_back(branch, origin, version):
    page = serve(origin, SIZE, version)
    first, second = branch
    first.add(page.content, [2])
    first.get(page.url).is_complete(page.octets)
    assert first.cached(page.info, page.octets) == SIZE
    assert second.get(page.url).is_complete(page.octets).by == (0, SIZE, 0)


def test_no_peers(branch, origin):
    page = serve(origin, SIZE, 1)
    first, second = branch
    first.get(page.url).is_complete(page.octets)
    second.add(page.content, [0])
    got = second.get(page.url, "--no-peers").is_complete(page.octets)
    assert got.by == (BLOCK, 0, SIZE - BLOCK)


def test_peer_and_origin_share(branch, origin):
    """Of some blocks a peer has, of others nobody."""
    page = serve(origin, SIZE, 1)
    first, second = branch
    first.add(page.content, [0, 1, 5])
    second.add(page.content, [2])
    got = second.get(page.url).is_complete(page.octets)
    assert got.by == (BLOCK, 3 * BLOCK, SIZE - 4 * BLOCK)
    assert origin.sent["range"] == SIZE - 4 * BLOCK


# The first of a branch.

@versions
def test_first_client_fills_the_branch(branch, origin, version):
    """The file is there before its hashes are; the hash request comes at once
    and finds them."""
    page = serve(origin, SIZE, version, ready=False)
    first, second = branch

    def ready(request, _answer):
        page.ready = True
        return page.answer(request)
    page.twist("hash", ready)
    got = first.get(page.url).is_complete(page.octets)
    assert got.by == (0, 0, SIZE)
    assert got.document["given_to_cache"] == len(page.octets)
    assert [r.kind for r in origin.requests] == ["content", "hash"]
    request = origin.requests[1]
    assert request.get("Accept-Encoding") == "identity, peerdist"
    assert request.get(PEERDIST) == "Version=1.1"
    assert request.get(PEERDIST_EX) == (
        "MinContentInformation=1.0, MaxContentInformation=2.0, "
        "HashRequest=true")
    assert request.get("Range") is request.get("If-Range") is None
    assert origin.sent["content"] == SIZE
    got = second.get(page.url).is_complete(page.octets)
    assert got.by == (0, SIZE, 0)
    assert not origin.of("range")


def test_hash_requests_back_off(host, origin):
    """The second after some seconds, and the body of the first was not taken;
    the file was there before."""
    page = serve(origin, 32 << 20, 1, ready=False)
    path = host.place()
    seen, when = [], []

    # Before the first: whoever is late here does not make it less.
    def begin(_request, _answer):
        when.append(time.monotonic())
    page.once("content", begin)

    def look(request, answer):
        when.append(time.monotonic())
        if len(origin.of("hash")) == 2:
            seen.append(path.read_bytes() == page.octets)
            page.ready = True
            return page.answer(request)
        return None
    page.twist("hash", look)
    got = host.get(page.url, path=path).is_complete(page.octets)
    assert got.document["given_to_cache"] == len(page.octets)
    assert len(origin.of("hash")) == 2
    assert seen == [True]
    assert when[2] - when[0] > 5
    assert origin.sent["hash"] < 16 << 20
    # The waiting is not of the download.
    assert got.document["seconds"] < when[2] - when[0]
    assert host.cached(page.info, page.octets) == len(page.octets)


def test_no_waiting(host, origin):
    page = serve(origin, SIZE, 1, ready=False)
    got = host.get(page.url, "--wait", "0").is_complete(page.octets)
    assert got.document["given_to_cache"] == 0
    assert len(origin.of("hash")) == 1


@pytest.mark.parametrize("number, code", [
    (signal.SIGINT, OK), (signal.SIGTERM, OK), (signal.SIGKILL,
                                               -signal.SIGKILL)])
def test_end_of_waiting(host, origin, number, code):
    """Whoever does not want to wait for the hashes has his file."""
    page = serve(origin, SIZE, 1, ready=False)
    running = host.begin(page.url)
    lab.wait_until(running.path.exists, "the file")
    origin.wait_request("hash")
    running.signal(number)
    got = running.end()
    assert (got.code, got.octets) == (code, page.octets)
    assert got.left == ["file"]


@pytest.mark.parametrize("status", [404, 500])
def test_hash_request_is_refused(host, origin, status):
    page = serve(origin, SIZE, 1, ready=False)
    page.twist("hash", lambda _r, _a: Answer(status, {}, b"no"))
    got = host.get(page.url, "--wait", "0").is_complete(page.octets)
    assert got.document["given_to_cache"] == 0


def test_plain_server_is_not_asked_for_hashes(host, origin):
    """Nor one that has PeerDist and says nothing of hashes."""
    page = serve(origin)
    page.twist("content", lambda _r, a: a.fields.update(
        {PEERDIST: "Version=1.1"}))
    host.get(page.url).is_complete(page.octets)
    assert not origin.of("hash")


# Redirects.

def test_redirect(host, origin):
    """The rest goes where the first was led."""
    page = serve(origin, SIZE, 1, path="/deep/file?x=1")
    for i in range(10):
        to = f"/hop{i + 1}" if i < 9 else "/deep/file?x=1"
        origin.add(f"/hop{i}", lambda _r, to=to: Answer(
            302 if to[-1] == "1" else 307, {"Location": to}, b"moved"))
    got = host.get(origin.url("/hop0")).is_complete(page.octets)
    assert got.document["url"] == origin.url("/hop0")
    assert len(origin.requests) == 11 + len(origin.of("range"))
    assert {r.target for r in origin.of("range")} == {"/deep/file?x=1"}


def test_redirect_and_hash_request(host, origin):
    page = serve(origin, SIZE, 1, path="/there", ready=False)
    origin.add("/here", lambda _r: Answer(301, {"Location": "/there"}))
    host.get(origin.url("/here"), "--wait", "0").is_complete(page.octets)
    assert [r.target for r in origin.requests] == ["/here", "/there", "/there"]


# Credentials.

SECRET = "s3cr3t-w0rd"


def test_credentials(host, origin):
    """They are sent with every request, and never shown."""
    page = serve(origin, SIZE, 1)
    url = origin.url("/file", f"someone:{SECRET}@")
    got = host.get(url).is_complete(page.octets)
    assert len(origin.requests) >= 2
    for request in origin.requests:
        assert request.get("Authorization").startswith("Basic ")
    assert got.document["url"] == page.url
    shown = host.get(url, json=False)
    failed = host.get(origin.url("/none", f"someone:{SECRET}@"))
    for run in (got, shown, failed, host.bare(
            "-o", "/nonexistent/x", url), host.bare("--nope", url)):
        for text in (run.out, run.err.encode()):
            assert SECRET.encode() not in text


def test_credentials_are_not_kept(host, origin):
    """Nor by what --continue needs."""
    page = serve(origin)
    page.twist("content", lambda _r, a: a.split(1000, closes))
    got = host.get(origin.url("/file", f"someone:{SECRET}@")).is_stopped()
    for part in parts_of(got.path):
        assert SECRET.encode() not in part.read_bytes()
    page.twists.clear()
    got = host.get(origin.url("/file", f"someone:{SECRET}@"), "--continue",
                   path=got.path).is_complete(page.octets)
    assert origin.requests[-1].get("Range") == "bytes=1000-"
    assert SECRET not in got.err


def test_netrc(host, origin):
    page = serve(origin)
    netrc = host.place().parent / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login someone password {SECRET}\n")
    netrc.chmod(0o600)
    got = host.get(page.url, env={"HOME": str(netrc.parent)})
    got.is_complete(page.octets)
    assert origin.requests[-1].get("Authorization").startswith("Basic ")


def test_credentials_stay_with_their_host(host, origin):
    with Origin() as other:
        page = serve(other, SIZE, 1)
        origin.add("/file", lambda _r: Answer(302, {"Location": page.url}))
        url = origin.url("/file", f"someone:{SECRET}@")
        host.get(url).is_complete(page.octets)
        assert origin.requests[0].get("Authorization") is not None
        for request in other.requests:
            assert request.get("Authorization") is None


# The service.

def without_service(origin, env, started=None):
    """An ordinary download."""
    page = serve(origin, SIZE, 1)
    with temporary_folder() as path:
        host = started or Host(path)
        got = host.get(page.url, env=env).is_complete(page.octets)
        assert got.by == (0, 0, SIZE)
        assert len(origin.requests) == 1
        assert origin.requests[0].kind == "plain"
        assert origin.requests[0].get(PEERDIST) is None
        shown = host.get(page.url, env=env, json=False)
        assert (shown.code, shown.octets) == (OK, page.octets)
        assert "service" in shown.err
        quiet = host.get(page.url, "--quiet", env=env, json=False)
        assert (quiet.code, quiet.out, quiet.err) == (OK, b"", "")


def test_no_service(origin):
    without_service(origin, {"PEERDIST_SOCKET": "/nonexistent/socket"})


def test_service_is_disabled(origin, folder):
    del folder
    with hosts() as (host,):
        host.folder.policy("[Service]\nEnable = no\n")
        host.daemon.reload()
        without_service(origin, {}, host)


@needs_root
def test_not_one_of_the_clients(origin):
    """Somebody whom the service does not serve."""
    page = serve(origin, SIZE, 1)
    with hosts(Access__ClientGroups="0") as (host,):
        path = host.place()
        os.chown(path.parent, OTHER_UID, OTHER_UID)
        got = host.get(page.url, path=path, prefix=as_uid(OTHER_UID))
        got.is_complete(page.octets)


@pytest.mark.parametrize("kind", ["content", "range", "hash"])
@versions
def test_service_is_killed(origin, version, kind):
    """It was there when the request was made and is not when the answer comes.
    """
    page = serve(origin, SIZE, version, ready=kind != "hash")
    with hosts() as (host,):
        def kill(request, _answer):
            host.daemon.signal(signal.SIGKILL)
            host.daemon.wait()
            page.ready = True
            return page.answer(request)
        page.once(kind, kill)
        got = host.get(page.url).is_complete(page.octets)
        assert got.document["given_to_cache"] == 0


@pytest.mark.parametrize("kind", ["content", "range", "hash"])
def test_service_is_restarted(origin, kind):
    page = serve(origin, SIZE, 1, ready=kind != "hash")
    with hosts() as (host,):
        def again(request, _answer):
            assert host.daemon.stop() == 0
            host.daemon.start()
            page.ready = True
            return page.answer(request)
        page.once(kind, again)
        host.get(page.url).is_complete(page.octets)


def test_service_is_disabled_meanwhile(origin):
    page = serve(origin, SIZE, 1)
    with hosts() as (host,):
        def disable(_request, _answer):
            host.folder.policy("[Service]\nEnable = no\n")
            host.daemon.reload()
        page.once("range", disable)
        host.get(page.url).is_complete(page.octets)


def test_peer_says_nothing(origin):
    """The origin is not waited for as long as peers could be."""
    page = serve(origin, SIZE, 1)
    peer = socket.create_server(("127.0.0.1", 0))
    with temporary_folder() as path:
        host = Host(path, f"127.0.0.1:{peer.getsockname()[1]}",
                    Retrieval__RequestTimeout="10min")
        host.start()
        try:
            got = host.get(page.url).is_complete(page.octets)
            assert got.by == (0, 0, SIZE)
            assert host.daemon.stop() == 0
        finally:
            host.close()
            peer.close()


def test_full_cache(origin):
    """What the cache does not take is downloaded nevertheless."""
    page = serve(origin, 12 << 20, 1)
    with hosts(DataCache__MaxSize="1M") as (host,):
        host.get(page.url).is_complete(page.octets)


# What it says.

def test_says_at_the_end(host, origin):
    page = serve(origin, SIZE, 1)
    host.add(page.content, [1])
    got = host.get(page.url, json=False)
    assert (got.code, got.out) == (OK, b"")
    last = got.err.splitlines()[-1]
    for word in ("64.0 KiB from the local cache", "512.1 KiB from the origin",
                 "512.1 KiB given to the cache", "/s"):
        assert word in last
    assert "\r" not in got.err and "\x1b" not in got.err


def test_quiet(host, origin):
    page = serve(origin, SIZE, 1)
    got = host.get(page.url, "--quiet", json=False)
    assert (got.code, got.out, got.err) == (OK, b"", "")
    assert got.octets == page.octets
    failed = host.get(origin.url("/none"), "--quiet", json=False)
    assert (failed.code, failed.out) == (NETWORK, b"")
    assert "404" in failed.err


def test_json_is_all_it_says(host, origin):
    page = serve(origin, SIZE, 2)
    got = host.get(page.url).is_complete(page.octets)
    assert got.err == ""
    failed = host.get(origin.url("/none")).is_failed()
    assert "404" in failed.document["error"]["message"]
    assert failed.document["error"]["kind"] == "network"


def on_terminal(host, url, *args, until=None, then=None):
    """What it writes to its terminal, and its exit status.  When there is a
    text that until finds, something happens."""
    master, slave = pty.openpty()
    running = host.begin(url, *args, json=False, stderr=slave,
                         env={"TERM": "xterm"})
    os.close(slave)
    shown = b""
    while True:
        assert select.select([master], [], [], DEADLINE)[0]
        try:
            shown += os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if until and re.search(until, shown):
            then()
    os.close(master)
    got = running.end()
    assert got.out == b""
    return got, shown.decode()


@pytest.mark.parametrize("version", [0, 1])
def test_bar(host, origin, version):
    """It shows how much there is already, and who gave it, and is gone at the
    end."""
    page = serve(origin, 4 << 20, version)
    go = threading.Event()
    page.twist("range" if version else "content", lambda _r, a: a.split(
        2 << 20, lambda: go.wait(DEADLINE)))
    got, shown = on_terminal(host, page.url, until=rb"o+ +\] +\d\d%",
                             then=go.set)
    assert (got.code, got.octets) == (OK, page.octets)
    assert go.is_set()
    assert shown.splitlines()[-1].rpartition("\r")[2].startswith(str(got.path))


def test_quiet_on_terminal(host, origin):
    page = serve(origin, SIZE, 1)
    got, shown = on_terminal(host, page.url, "--quiet")
    assert (got.code, got.octets, shown) == (OK, page.octets, "")


def test_hostile_text_on_terminal(host, origin):
    """What a server says does not move anybody's cursor."""
    origin.add("/file\x1b[2J", lambda _r: Answer(404))
    origin.add("/x", lambda _r: Answer(
        302, {"Location": "http://127.0.0.1:1/\x1b]0;title\x07"}))
    for path in ("/x", "/y\x1b[2J"):
        got = host.get(origin.url(path), json=False)
        assert got.code in (NETWORK, USAGE)
        assert "\x1b" not in got.err and "\x07" not in got.err


# The file.

@pytest.mark.parametrize("url, name", [
    ("/some/file.iso", "file.iso"), ("/file.iso?v=1&x=/y", "file.iso"),
    ("/file.iso#part", "file.iso"), ("/a%20file", "a file"),
    ("/%E2%82%AC", "€"), ("/a%2Fb", "a%2Fb"), ("/a%00b", "a%00b"),
    ("/a%0Ab", "a%0Ab"), ("/a%1B[2J", "a%1B[2J"), ("/.hidden", ".hidden"), ("/-o", "-o"),
    ("/x.peerdist-part", "x.peerdist-part")])
def test_name_from_url(host, origin, url, name):
    page = Page(b"x" * 10)
    origin.add(url.partition("#")[0], page)
    folder = host.place().parent
    got = host.bare(origin.url(url), cwd=folder)
    assert got.code == OK, got.err
    assert os.listdir(folder) == [name]
    assert (folder / name).read_bytes() == page.octets


def test_name_is_of_the_first_url(host, origin):
    """A server does not choose what is overwritten."""
    page = serve(origin, path="/evil")
    origin.add("/good", lambda _r: Answer(302, {"Location": "/evil"}))
    page.twist("content", lambda _r, a: a.fields.update(
        {"Content-Disposition": 'attachment; filename="evil"'}))
    folder = host.place().parent
    assert host.bare(origin.url("/good"), cwd=folder).code == OK
    assert os.listdir(folder) == ["good"]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600),
                                        (0o000, 0o666)])
def test_mode(host, origin, version, mask, mode):
    page = serve(origin, SIZE, version)
    got = host.get(page.url, prefix=[
        "sh", "-c", f'umask {mask:o}; exec "$@"', "sh"])
    got.is_complete(page.octets)
    assert got.path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("version", [0, 1])
def test_file_is_replaced_whole(host, origin, version):
    """While it comes, the old one stays."""
    page = serve(origin, SIZE, version)
    path = host.place()
    path.write_bytes(b"old")
    seen = []

    page.twist("range" if version else "content", lambda _r, a: a.split(
        BLOCK // 2, lambda: seen.append(path.read_bytes())))
    host.get(page.url, path=path).is_complete(page.octets)
    assert seen and set(seen) == {b"old"}


@pytest.mark.parametrize("version", [0, 1])
def test_old_file_stays_when_it_fails(host, origin, version):
    page = serve(origin, SIZE, version)
    path = host.place()
    path.write_bytes(b"old")
    page.twist("content", lambda _r, _a: Answer(500))
    got = host.get(page.url, path=path)
    assert (got.code, got.octets, got.left) == (NETWORK, b"old", ["file"])


@pytest.mark.parametrize("version", [0, 1, 2])
def test_standard_output(host, origin, version):
    page = serve(origin, SIZE, version)
    folder = host.place().parent
    got = host.bare("-o", "-", page.url, cwd=folder)
    assert (got.code, got.out) == (OK, page.octets)
    assert os.listdir(folder) == []
    got = host.bare("-o", "-", "--json", page.url, cwd=folder)
    assert (got.code, got.out) == (USAGE, b"")


@versions
@pytest.mark.parametrize("had", [[0], [1, 5], [8, 9], [3, 4, 5, 6]])
def test_standard_output_in_order(host, origin, version, had):
    """Also what came before what goes before it."""
    page = serve(origin, SIZE, version)
    host.add(page.content, had)
    got = host.bare("-o", "-", page.url)
    assert (got.code, got.out) == (OK, page.octets)


@pytest.mark.parametrize("version", [0, 1])
def test_standard_output_is_full(host, origin, version):
    page = serve(origin, SIZE, version)
    with open("/dev/full", "wb") as full:
        got = host.bare("-o", "-", page.url, stdout=full)
    assert got.code == FILE
    assert "No space" in got.err


@pytest.mark.parametrize("version", [0, 1])
def test_nobody_reads_standard_output(host, origin, version):
    page = serve(origin, 4 << 20, version)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        got = host.bare("-o", "-", page.url, stdout=closed)
    assert got.code in (FILE, -signal.SIGPIPE)


@pytest.mark.parametrize("version", [0, 1])
def test_target_is_a_folder(host, origin, version):
    page = serve(origin, SIZE, version)
    path = host.place()
    path.mkdir()
    got = host.get(page.url, path=path)
    assert (got.code, got.left) == (FILE, ["file"])
    assert os.listdir(path) == []
    assert origin.total == 0


def test_no_such_folder(host, origin):
    page = serve(origin)
    got = host.bare("--json", "-o", "/nonexistent/file", page.url)
    assert got.code == FILE
    assert "No such file" in got.document["error"]["message"]
    assert origin.total == 0


def test_folder_is_not_writable(host, origin):
    page = serve(origin)
    path = host.place()
    path.parent.chmod(0o555)
    prefix = as_uid(OTHER_UID) if os.geteuid() == 0 else ()
    got = host.get(page.url, path=path, prefix=prefix)
    assert (got.code, got.left) == (FILE, [])
    assert "denied" in got.document["error"]["message"]
    assert origin.total == 0


@pytest.mark.parametrize("version", [0, 1, 2])
def test_target_is_not_followed(host, origin, version):
    """A link that lies about is replaced, not what it points to."""
    page = serve(origin, SIZE, version)
    path = host.place()
    other = path.with_name("other")
    other.write_bytes(b"other")
    part, sidecar = parts_of(path)
    for name in (path, part, sidecar):
        name.symlink_to(other)
    got = host.get(page.url, path=path)
    assert other.read_bytes() == b"other"
    # Refusing is as good.
    if got.code == OK:
        assert path.read_bytes() == page.octets and not path.is_symlink()


@needs_root
@pytest.mark.parametrize("version", [0, 1])
def test_disk_is_full(host, origin, version):
    page = serve(origin, 4 << 20, version)
    path = host.place()
    # A namespace of its own: what is mounted there goes with it.
    got = host.get(page.url, path=path, prefix=[
        "unshare", "-m", "sh", "-c",
        f'mount -t tmpfs -o size=1m none {path.parent}; exec "$@"', "sh"])
    assert (got.code, got.left) == (FILE, [])
    assert "No space" in got.document["error"]["message"]


@pytest.mark.parametrize("version", [0, 1])
def test_file_size_limit(host, origin, version):
    page = serve(origin, 4 << 20, version)
    got = host.get(page.url, prefix=["prlimit", "--fsize=1000000"])
    assert got.code == FILE
    assert got.octets is None


# Several, and those that are stopped.

@pytest.mark.parametrize("version", [0, 1])
def test_two_for_one_file(host, origin, version):
    """The second is refused, and does not disturb the first."""
    page = serve(origin, SIZE, version)
    path = host.place()
    go = threading.Event()
    kind = "range" if version else "content"
    page.twist(kind, lambda _r, a: a.split(10, lambda: go.wait(DEADLINE)))
    first = host.begin(page.url, path=path)
    origin.wait(lambda: origin.sent[kind] >= 10, "the first bytes")
    count = len(origin.requests)
    second = host.get(page.url, path=path)
    go.set()
    assert second.code == FILE
    assert "another" in second.document["error"]["message"]
    assert len(origin.requests) == count
    first.end().is_complete(page.octets)


def test_two_beside_each_other(branch, origin):
    """Both get theirs, in one cache."""
    page = serve(origin, SIZE, 1)
    running = [host.begin(page.url) for host in branch for _ in range(3)]
    for each in running:
        each.end().is_complete(page.octets)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("validators", [True, False])
def test_interrupted(host, origin, version, number, validators):
    """What --continue can use stays; without a validator nothing does."""
    page = serve(origin, 4 * MIB, version)
    if not validators:
        page.change(page.octets, None, None)
    kind = "range" if version else "content"
    page.twist(kind, lambda r, a: a.split(2 * MIB + 5, r.wait_gone))
    running = host.begin(page.url, json=False)
    part, _ = parts_of(running.path)
    lab.wait_until(lambda: part.exists() and
                   part.stat().st_size >= 2 * MIB, "2 MiB")
    if version:
        host.wait_cached(page, 2 * MIB)
    got = running.signal(number).end()
    assert got.code == FAILED
    assert "interrupted" in got.err
    if validators and got.left != []:
        got.is_stopped(FAILED)
        assert "--continue" in got.err
    else:
        # What is described is kept by the service.
        assert got.left == []
        assert version or not validators


@pytest.mark.parametrize("kind", ["content", "hash"])
def test_interrupted_before_there_is_anything(host, origin, kind):
    page = serve(origin, SIZE, 1, ready=False)
    page.twist(kind, lambda r, _a: r.wait_gone())
    running = host.begin(page.url)
    origin.wait_request(kind)
    got = running.signal().end()
    if kind == "content":
        assert (got.code, got.left) == (FAILED, [])
    else:
        # It is complete; only others are waited for.
        got.is_complete(page.octets)


def test_secrets_of_content_are_not_shown(host, origin):
    """Nothing of content information reaches what is printed or kept."""
    page = serve(origin, SIZE, 1)
    page.twist("range", lambda r, a: a.split(5000, r.wait_gone))
    running = host.begin(page.url, json=False)
    origin.wait_request("range")
    kept = parts_of(running.path)[1].read_bytes()
    got = running.signal().end()
    for secret in page.content.private:
        for text in (got.err.encode(), kept):
            assert secret.hex().encode() not in text.lower()
            assert secret not in text
