# SPDX-License-Identifier: BSD-2-Clause
"""peerdistctl explain URL: what it finds at origins that do as they should, and
at those that do not."""

import os

import pytest

from conftest import DEADLINE
from origin import MODIFIED, PEERDIST, PEERDIST_EX, Answer, Origin, Page
from test_ctl import (FAILED, NOT_FOUND, OK, PERMISSION, PROBLEMS, UNAVAILABLE,
                      USAGE)

SIZE = (3 << 16) + 100
VARY = "Accept-Encoding, X-P2P-PeerDist, X-P2P-PeerDistEx"
OCTETS = os.urandom(SIZE)


@pytest.fixture(name="origin")
def an_origin():
    with Origin() as origin:
        yield origin


def good(page):
    """With all that belongs to an answer."""
    def vary(_request, answer):
        answer.fields["Vary"] = VARY
    return page.twist("content", vary).twist("hash", vary)


def names(document):
    return [f["name"] for f in document["findings"]]


@pytest.mark.parametrize("version", [1, 2])
def test_encoded(folder, daemon, origin, version):
    page = origin.add("/file", good(Page(OCTETS, version=version)))
    told = folder.ctl("--json", "explain", origin.url("/file"))
    assert told.code == OK, told.err
    path = folder.path / "file.ci"
    path.write_bytes(page.info)
    of_file = folder.json("explain", path)
    of_url = told.json
    assert {k: of_url[k] for k in of_file} == of_file
    assert of_url["bytes"]["described"] == SIZE
    assert of_url["findings"] == []
    assert (of_url["status"], of_url["http"]) == (200, "1.1")
    assert (of_url["etag"], of_url["last_modified"]) == ('"one"', MODIFIED)
    assert of_url["vary"] == VARY
    assert of_url["peerdist"] == {
        "encoded": True, "version": "1.1", "content_length": SIZE,
        "info_bytes": len(page.info)}
    text = folder.ctl("explain", origin.url("/file"))
    assert text.code == OK, text.err
    assert "version 1.1, encoded" in text.out
    assert f"version {version}, " in text.out
    assert '"one"' in text.out and VARY in text.out
    # The table of `explain FILE`, wholly.
    assert text.out.endswith("\n\n" + folder.ctl("explain", path).out)
    # One question for it, one for a part, and no whole file.
    assert [r.kind for r in origin.requests] == ["content", "range"] * 2
    part = origin.of("range")[0]
    assert (part.get("Range"), part.get("If-Range")) == ("bytes=0-0", '"one"')
    assert part.get("Accept-Encoding") is None


def test_without_a_service(folder, origin):
    origin.add("/file", good(Page(OCTETS, version=2)))
    told = folder.ctl("--json", "explain", origin.url("/file"))
    assert told.code == UNAVAILABLE
    assert names(told.json) == ["no-service"]
    assert told.json["peerdist"]["encoded"] is True
    assert "segments" not in told.json
    text = folder.ctl("explain", origin.url("/file"))
    assert (text.code, text.err) == (UNAVAILABLE, "")
    assert "no peerdistd can be asked" in text.out


def put(**fields):
    def change(_request, answer):
        for name, value in fields.items():
            name = name.replace("_", "-")
            answer.fields.pop(name, None)
            if value is not None:
                answer.fields[name] = value
    return change


def not_there(_request, _answer):
    return Answer(404)


def says(status):
    return lambda _request, _answer: Answer(status)


def ignores_ranges(_request, _answer):
    return Answer(200, {"ETag": '"one"', "Last-Modified": MODIFIED}, OCTETS)


def plainly(**fields):
    """The file, though hashes were asked for."""
    return lambda _request, _answer: Answer(
        200, {"ETag": '"one"', "Last-Modified": MODIFIED, **fields}, OCTETS)


def old_http(_request, _answer):
    answer = plainly()(None, None)
    answer.head = answer.head_bytes().replace(b"HTTP/1.1", b"HTTP/1.0")
    return answer


def described(octets):
    """Somebody else's content information."""
    other = Page(octets, version=1)
    return lambda _request, answer: answer.replace(other.info)


BARE = {"ETag": None, "Last_Modified": None}
# What is wrong, the page, its twists, what is found, the exit status.
CASES = {
    "absent": (dict(), {"content": not_there}, ["absent"], NOT_FOUND),
    "refused": (dict(), {"content": says(403)}, ["refused"], PERMISSION),
    "failing": (dict(), {"content": says(503)}, ["status"], PROBLEMS),
    "no server": (dict(version=0), {"content": put(Vary=None)},
                  ["not-spoken"], PROBLEMS),
    "small": (dict(version=0, octets=OCTETS[:1 << 16]),
              {"content": put(Vary=None)}, ["small"], PROBLEMS),
    "small, not too small": (
        dict(version=0, octets=OCTETS[:1 << 16 | 1]),
        {"content": put(Vary=None)}, ["not-spoken"], PROBLEMS),
    "making": (dict(ready=False), {}, ["making"], OK),
    "made": (dict(), {"content": plainly(Vary=VARY, **{
        PEERDIST: "Version=1.1", PEERDIST_EX: "MakeHashRequest=true"})},
             ["made"], OK),
    "plain": (dict(version=0), {}, ["plain"], PROBLEMS),
    "old": (dict(version=0), {"content": old_http}, ["old-http"], PROBLEMS),
    "cached": (dict(version=0), {"content": put(Age="77")}, ["cached"],
               PROBLEMS),
    "cached, not encoded for us": (
        dict(), {"content": plainly(Age="0", Vary=VARY)}, ["cached"],
        PROBLEMS),
    "accept": (dict(), {"content": plainly(Vary=VARY)}, ["accept-stripped"],
               PROBLEMS),
    "coding": (dict(), {"content": put(Vary=VARY, Content_Encoding=None)},
               ["coding-stripped"], PROBLEMS),
    "gzip": (dict(version=0), {"content": put(Vary=VARY,
                                              Content_Encoding="gzip")},
             ["other-coding"], PROBLEMS),
    "validators": (dict(version=0), {"content": put(Vary=VARY, **BARE)},
                   ["no-validator"], PROBLEMS),
    "validators, encoded": (dict(), {"content": put(Vary=VARY, **BARE)},
                            ["no-validator"], PROBLEMS),
    "weak": (dict(), {"content": put(Vary=VARY, ETag='W/"one"',
                                     Last_Modified=None)},
             ["weak-validator"], PROBLEMS),
    "vary": (dict(), {"content": put(Vary="Accept-Encoding")}, ["no-vary"],
             OK),
    "large": (dict(), {"content": put(Vary=VARY,
                                      Content_Length=str((64 << 20) + 1))},
              ["large"], PROBLEMS),
    "rubbish": (dict(), {"content": lambda _r, a: put(Vary=VARY)(_r, a) or
                         a.replace(b"x" * 1000)}, ["bad-info"], PROBLEMS),
    "misfit": (dict(), {"content": lambda _r, a: put(Vary=VARY)(_r, a) or
                        described(OCTETS[1:])(_r, a)}, ["misfit"], PROBLEMS),
    "ranges": (dict(), {"range": ignores_ranges}, ["no-ranges"], PROBLEMS),
    "ranges, of a newer version": (
        dict(), {"range": lambda _r, _a: Answer(200, {"ETag": '"two"'})},
        [], OK),
}


@pytest.mark.parametrize("case", CASES)
def test_findings(folder, daemon, origin, case):
    kind, twists, found, code = CASES[case]
    page = good(Page(**{"octets": OCTETS, "version": 2, **kind}))
    for request, twist in twists.items():
        page.twist(request, twist)
    origin.add("/file", page)
    result = folder.ctl("--json", "explain", origin.url("/file"))
    assert result.err == ""
    assert (result.code, names(result.json)) == (code, found)
    text = folder.ctl("explain", origin.url("/file"))
    assert (text.code, text.err) == (code, "")
    for finding in result.json["findings"]:
        level = "problem" if finding["problem"] else "note"
        assert f"\n{level}: {finding['text']}" in text.out
        assert " ".join(finding["remedy"].split()) in " ".join(
            text.out.split())
    assert any(f["problem"] for f in result.json["findings"]) == (code != OK)
    above = text.out.partition("        offset ")[0]
    assert all(len(line) <= 80 for line in above.splitlines()
               if not line.startswith("Vary"))


def elsewhere(location):
    return lambda _request: Answer(302, {"Location": location}, b"elsewhere")


def test_redirected(folder, daemon, origin):
    origin.add("/file", good(Page(OCTETS, version=1)))
    origin.add("/one", elsewhere("/two"))
    origin.add("/two", elsewhere(origin.url("/file")))
    result = folder.ctl("--json", "explain", origin.url("/one"))
    assert (result.code, names(result.json)) == (OK, ["redirected"])
    assert result.json["redirects"] == 2
    assert result.json["url"] == origin.url("/one")
    assert result.json["effective_url"] == origin.url("/file")
    assert result.json["bytes"]["described"] == SIZE
    assert origin.url("/file") in folder.ctl("explain",
                                             origin.url("/one")).out


def test_redirected_in_a_circle(folder, origin):
    origin.add("/one", elsewhere("/one"))
    result = folder.ctl("explain", origin.url("/one"))
    assert (result.code, result.out) == (FAILED, "")
    assert "redirects" in result.err
    assert len(origin.requests) == 11


def test_redirected_to_another_scheme(folder, origin):
    origin.add("/one", elsewhere("file:///etc/hostname"))
    result = folder.ctl("explain", origin.url("/one"))
    assert (result.code, result.out) == (FAILED, "")
    assert "rotocol" in result.err


@pytest.mark.parametrize("as_json", [True, False])
def test_credentials_are_not_shown(folder, daemon, origin, as_json):
    options = ["--json"] if as_json else []
    where = origin.url("/file?sig=sesame", user="somebody:sesame@")
    page = origin.add("/file?sig=sesame", good(Page(OCTETS, version=2)))
    origin.add("/one", elsewhere(where))
    origin.add("/gone", elsewhere(origin.url("/no?sig=sesame")))
    for url, code in ((where, OK), (origin.url("/one"), OK),
                      (origin.url("/gone", "somebody:sesame@"), NOT_FOUND)):
        result = folder.ctl(*options, "explain", url)
        assert result.code == code, result.err
        for secret in ("sesame", "somebody"):
            assert secret not in result.out + result.err
        # Nor is what is as good as the content.
        assert page.info[-32:].hex() not in result.out.lower()
    assert next(r for r in origin.of("content")
                if r.target.startswith("/file")).get("Authorization")
    for url in ("http://somebody:sesame@127.0.0.1:1/", "http://somebody:sesame@"
                "[::1", "ftp://somebody:sesame@127.0.0.1/",
                "http://somebody:sesame@/x", "http://somebody:sesame@ /"):
        result = folder.ctl(*options, "explain", url)
        assert result.code in (FAILED, USAGE)
        for secret in ("sesame", "somebody"):
            assert secret not in result.out + result.err


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/hostname",
                                 "://", "http://", "http://[::1/x"])
def test_no_url(folder, url):
    result = folder.ctl("explain", url)
    assert (result.code, result.out) == (USAGE, "")


def test_the_content_is_not_fetched(folder, daemon, origin):
    # More than the buffers of both ends hold.
    origin.add("/file", Page(bytes(64 << 20), version=0))
    result = folder.ctl("--json", "explain", origin.url("/file"))
    assert (result.code, names(result.json)) == (PROBLEMS, ["not-spoken"])
    origin.wait(lambda: not origin.connections, "both were broken off")
    assert origin.total < 40 << 20


def test_a_server_that_says_nothing(folder, origin):
    origin.add("/file", lambda request: request.wait_gone())
    result = folder.ctl("--timeout", "1", "explain", origin.url("/file"))
    assert (result.code, result.out) == (FAILED, "")
    assert "imeout" in result.err


def test_nobody_there(folder):
    with Origin() as origin:
        url = origin.url("/file")
    result = folder.ctl("--json", "explain", url)
    assert result.code == FAILED
    assert url in result.json["error"]["message"]


def test_endless_content_information(folder, origin):
    """No length is told; the client does not take more than it would."""
    def endless():
        while True:
            yield bytes(1 << 20)

    origin.add("/file", lambda request: Answer(
        200, {"Content-Encoding": "peerdist", "ETag": '"one"',
              PEERDIST: "Version=1.1, ContentLength=5", "Vary": VARY},
        endless()) if request.kind == "content" else Answer(206))
    result = folder.ctl("--timeout", DEADLINE, "--json", "explain",
                        origin.url("/file"))
    assert (result.code, names(result.json)) == (PROBLEMS, ["large"])
    assert origin.total < 100 << 20
