# SPDX-License-Identifier: BSD-2-Clause
"""The web root as a static server: files, folders, ranges, conditions, and
connections, with a client of its own."""

import os
import re
import stat
import time

import pytest

import http_client
from conftest import DEADLINE
from http_client import Closed, multipart, seconds
from website import (ASK_2, OLD, VARY, makes_hash, noise, plain, site_of,
                     unprivileged, wait_until)

MIN_SIZE = 65536
SIZE = 100000
ETAG = re.compile(r'"[\x21\x23-\x7e]+"\Z')


@pytest.fixture(scope="module")
def site():
    with site_of() as made:
        made.big = made.put("big.bin", size=5 << 20)
        made.file = made.put("file.bin", size=SIZE)
        made.small = made.put("small.txt", b"0123456789")
        made.empty = made.put("empty", b"")
        made.put("folder/index.html", b"<p>index")
        made.put("folder/other.html", b"<p>other")
        made.put("bare/file", b"bare")
        (made.root / "nothing").mkdir()
        yield made


@pytest.fixture(scope="module")
def link(site):
    """One connection for everything that does not end it."""
    made = http_client.Steady(site.address, DEADLINE)
    yield made
    made.close()


# Whole files.

@pytest.mark.parametrize("size", [0, 1, 2, 511, 512, 513, 4096, MIN_SIZE - 1,
                                  MIN_SIZE, MIN_SIZE + 1, 1 << 20,
                                  (1 << 20) + 1])
def test_whole(site, size):
    file = site.put(f"whole/{size}", size=size)
    answer = plain(site.get(file), file.octets)
    assert answer.minor == 1
    assert answer.get("Accept-Ranges") == "bytes"
    assert ETAG.match(answer.etag)
    assert seconds(answer.get("Last-Modified")) == OLD
    assert abs(seconds(answer.get("Date")) - time.time()) < 5
    assert answer.get("Content-Type") == "application/octet-stream"
    # Told wherever it could have been otherwise.
    assert answer.get("Vary") == (VARY if size > MIN_SIZE else None)
    assert not makes_hash(answer)


def test_large(site, link):
    for _ in range(3):
        plain(link.ask(site.big.target), site.big.octets)


@pytest.mark.parametrize("name", ["big", "file", "small", "empty"])
def test_head(site, link, name):
    file = getattr(site, name)
    whole = link.ask(file.target)
    head = link.ask(file.target, method="HEAD")
    assert head.status == 200 and head.body == b""
    assert head.length == len(file.octets)
    assert [f for f in head.fields if f[0] != "Date"] == [
        f for f in whole.fields if f[0] != "Date"]
    # It says nothing of PeerDist, whatever is asked.
    asked = link.ask(file.target, *ASK_2, method="HEAD")
    assert [f for f in asked.fields if f[0] != "Date"] == [
        f for f in whole.fields if f[0] != "Date"]


@pytest.mark.parametrize("target, status", [
    ("/none", 404), ("/folder/none", 404), ("/file.bin/", 404),
    ("/file.bin/x", 404), ("/none/", 404), ("/bare/", 403), ("/nothing/", 403)])
def test_no_file(site, link, target, status):
    for method in ("GET", "HEAD"):
        answer = link.ask(target, method=method)
        assert answer.status == status
        assert answer.etag is None and answer.get("Vary") is None
        assert answer.get("Last-Modified") is None
        assert (answer.body == b"") == (method == "HEAD")
        if method == "GET":
            assert answer.get("Content-Type").startswith("text/plain")
            assert answer.body.endswith(b"\n") and b"\n" not in answer.body[:-1]
    # Nothing of PeerDist either.
    assert not makes_hash(link.ask(target, *ASK_2))


def test_cold(site):
    """What is not in the memory of the kernel; several such at once, and others
    are answered meanwhile."""
    file = site.put("cold", size=40 << 20)
    links = [site.link() for _ in range(4)]
    for _ in range(2):
        with open(file.path, "rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        links[0].send(file.target)
        links[1].send(file.target, "Range: bytes=20000000-")
        links[2].send(file.target, "Range: bytes=5-9,30000000-30000009,-7")
        links[3].send(file.target, "Range: bytes=-100000")
        plain(site.get(site.small), b"0123456789")
        plain(links[0].receive(), file.octets)
        plain(links[1].receive(), file.octets[20000000:], 206)
        assert [p[4] for p in multipart(links[2].receive())] == [
            file.octets[5:10], file.octets[30000000:30000010],
            file.octets[-7:]]
        plain(links[3].receive(), file.octets[-100000:], 206)
    for link in links:
        link.close()


# Folders.

def test_index(site, link):
    assert link.ask("/folder/").body == b"<p>index"
    assert link.ask("/folder/").get("Content-Type") == "text/html"
    assert link.ask("/folder/index.html").body == b"<p>index"
    # Of the root as well.
    assert link.ask("/").status == 403
    site.put("index.html", b"root")
    assert link.ask("/").body == b"root"
    (site.root / "index.html").unlink()
    assert link.ask("/").status == 403


@pytest.mark.parametrize("target, location", [
    ("/folder", "/folder/"), ("/folder?a=b&c", "/folder/?a=b&c"),
    ("/nothing", "/nothing/"), ("//folder", "/folder/"),
    ("/folder?", None), ("/bare/../folder", "/folder/"),
    ("/a%20b%3f%23%25", "/a%20b%3F%23%25/")])
def test_folder_without_slash(site, link, target, location):
    (site.root / "a b?#%").mkdir(exist_ok=True)
    for method in ("GET", "HEAD"):
        answer = link.ask(target, method=method)
        assert answer.status == 301
        found = answer.get("Location")
        assert location is None or found.upper() == location.upper()
        # On this host, whatever it is called.
        assert found.startswith("/") and not found.startswith("//")
        assert link.ask(found).status in (200, 403)


def test_redirect_stays_here(site, link):
    """A path is not taken for the name of a host."""
    (site.root / "evil.example").mkdir(exist_ok=True)
    for target in ("//evil.example", "///evil.example", "/%2fevil.example",
                   "/.//evil.example", "/%5cevil.example"):
        answer = link.ask(target)
        if answer.status == 301:
            assert answer.get("Location") == "/evil.example/"
        else:
            assert answer.status in (400, 404)


# Names.

@pytest.mark.parametrize("name, target", [
    ("a b", "/a%20b"), ("a+b", "/a+b"), ("a+b", "/a%2Bb"), ("ä", "/%c3%a4"),
    ("ä", b"/\xc3\xa4"), ("q?q", "/q%3fq"), ("q?q", "/q%3Fq?x=y"),
    ("h#h", "/h%23h"), ("p%41", "/p%2541"), ("back\\slash", "/back%5Cslash"),
    ("back\\slash", "/back\\slash"), ("tilde~", "/tilde~"),
    ("ctl\x01\x7f", "/ctl%01%7f"), ("new\nline", "/new%0Aline"),
    ("deep/in/here", "/deep/in/here"), ("deep/in/here", "/deep//in///here"),
    ("deep/in/here", "/deep/./in/././here"), (".hidden", "/.hidden"),
    ("deep/in/here", "/deep/x/../in/y/z/../../here"),
    ("deep/in/here", "/x/../deep/in/here"), ("...", "/..."),
    ("..x", "/..x"), ("x..", "/x.."), ("deep/in/here", "/deep%2fin%2Fhere"),
    ("deep/in/here", "/%64%65ep/in/here?query"), ("a;b=c,d", "/a;b=c,d"),
    ("deep/in/here", "/deep/%2e/in/%2E%2e/in/here"),
    ("&'()*!$@:", "/&'()*!$@:"),
    ("x" * 255, "/" + "x" * 255)])
def test_names(site, link, name, target):
    file = site.put(name, name.encode())
    plain(link.ask(target), file.octets)


def test_names_are_exact(site, link):
    site.put("Case", b"x")
    for target in ("/case", "/CASE", "/Case%20", "/Case%00", "/Cas", "/Case."):
        assert link.ask(target).status in (400, 404)


def test_absolute_form(site, link):
    """As proxies send it."""
    host = link.host
    plain(link.ask(f"http://{host}/small.txt"), b"0123456789")
    plain(link.ask(f"http://{host}/small.txt?q", host="other"), b"0123456789")


def test_links_inside(site, link):
    (site.root / "to").symlink_to("small.txt")
    (site.root / "in").symlink_to("deep/./in")
    site.put("deep/in/here", b"here")
    (site.root / "deep" / "up").symlink_to("../bare")
    (site.root / "chain").symlink_to("to")
    for target, octets in (("/to", b"0123456789"), ("/in/here", b"here"),
                           ("/deep/up/file", b"bare"),
                           ("/chain", b"0123456789")):
        plain(link.ask(target), octets)


@pytest.mark.parametrize("name, wanted", [
    ("a.html", "text/html"), ("a.HTM", "text/html"), ("a.css", "text/css"),
    ("a.txt", "text/plain"), ("a.png", "image/png"), ("a.jpg", "image/jpeg"),
    ("a.jpeg", "image/jpeg"), ("a.gif", "image/gif"),
    ("a.svg", "image/svg+xml"), ("a.json", "application/json"),
    ("a.pdf", "application/pdf"), ("a.zip", "application/zip"),
    ("a.mp4", "video/mp4"), ("a.tar.html", "text/html"),
    ("a.bin", "application/octet-stream"), ("a", "application/octet-stream"),
    ("a.iso", "application/octet-stream"), ("html", "application/octet-stream"),
    ("a.", "application/octet-stream"), ("x.html/a",
                                         "application/octet-stream"),
    ("a.unheard-of", "application/octet-stream")])
def test_types(site, link, name, wanted):
    file = site.put("types/" + name, b"x")
    assert link.ask(file.target).get("Content-Type") == wanted


# Versions of a file.

def test_etags_differ(site, link):
    """Whenever the bytes could."""
    seen = {}
    file = site.put("tag", b"first")

    def look(why):
        answer = link.ask("/tag")
        assert answer.body == file.path.read_bytes()
        assert answer.etag not in seen, (why, seen)
        seen[answer.etag] = why

    look("new")
    file.path.write_bytes(b"other")
    look("overwritten")
    os.utime(file.path, (OLD, OLD))
    look("touched back")
    file.path.write_bytes(b"first")
    os.utime(file.path, (OLD, OLD))
    look("the first bytes, time and size")
    with open(file.path, "ab") as out:
        out.write(b"+")
    look("longer")
    os.truncate(file.path, 5)
    look("shorter")
    site.put("tag.new", b"first").path.rename(file.path)
    look("replaced")
    again = link.ask("/tag").etag
    assert again in seen
    # Another file is another entity, also with the same bytes and time.
    site.put("tag2", b"first")
    assert link.ask("/tag2").etag not in seen


def test_time_to_come(site, link):
    """No Last-Modified later than Date."""
    file = site.put("future", b"x", when=int(time.time()) + 86400)
    answer = link.ask(file.target)
    assert answer.status == 200
    assert seconds(answer.get("Last-Modified", answer.get("Date"))) <= (
        seconds(answer.get("Date")))
    old = site.put("ancient", b"x", when=-86400)
    answer = link.ask(old.target)
    assert answer.status == 200
    assert answer.get("Last-Modified") in (
        None, "Wed, 31 Dec 1969 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT")


def test_fractions_of_a_second(site, link):
    file = site.put("fraction", b"x")
    os.utime(file.path, ns=(0, OLD * 10 ** 9 + 999999999))
    answer = link.ask(file.target)
    assert seconds(answer.get("Last-Modified")) == OLD
    date = answer.get("Last-Modified")
    assert link.ask(file.target, f"If-Modified-Since: {date}").status == 304
    assert link.ask(file.target, f"If-Unmodified-Since: {date}").status == 200


# Ranges.

@pytest.mark.parametrize("text, first, last", [
    ("0-0", 0, 0), ("0-9", 0, 9), ("5-", 5, SIZE - 1), ("-1", SIZE - 1,
                                                        SIZE - 1),
    ("-5", SIZE - 5, SIZE - 1), (f"0-{SIZE - 1}", 0, SIZE - 1),
    (f"0-{SIZE}", 0, SIZE - 1), (f"-{SIZE}", 0, SIZE - 1),
    (f"-{SIZE + 1}", 0, SIZE - 1), ("0-", 0, SIZE - 1),
    (f"{SIZE - 1}-", SIZE - 1, SIZE - 1),
    (f"{SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE - 1),
    ("70000-70099", 70000, 70099), ("00005-00009", 5, 9),
    (f"5-{2 ** 63}", 5, SIZE - 1)])
def test_range(site, link, text, first, last):
    whole = link.ask(site.file.target)
    answer = link.ask(site.file.target, f"Range: bytes={text}")
    plain(answer, site.file.octets[first:last + 1], 206)
    assert answer.get("Content-Range") == f"bytes {first}-{last}/{SIZE}"
    for name in ("ETag", "Last-Modified", "Content-Type", "Vary"):
        assert answer.get(name) == whole.get(name)


@pytest.mark.parametrize("text", [
    f"{SIZE}-", f"{SIZE}-{SIZE + 5}", "-0", f"{2 ** 62}-{2 ** 63 - 1}",
    f"{SIZE}-,{SIZE + 1}-"])
def test_range_outside(site, link, text):
    answer = link.ask(site.file.target, f"Range: bytes={text}")
    assert answer.status == 416
    assert answer.get("Content-Range") == f"bytes */{SIZE}"
    assert answer.get("Vary") == VARY
    assert site.file.octets[:16] not in answer.body


@pytest.mark.parametrize("text", [
    "bytes=9-5", "bytes=", "bytes", "bytes=a-b", "bytes=1", "bytes=-",
    "lines=0-5", "bytes 0-5", "0-5", "bytes=0-5;6-7", "bytes=--5",
    "bytes=0x0-0x5", "bytes=1.5-2"])
def test_range_that_is_none(site, link, text):
    """As if it was not there."""
    plain(link.ask(site.file.target, f"Range: {text}"), site.file.octets)


def test_range_of_nothing(site, link):
    """From the first byte on: all of it, as nginx has it."""
    for text in ("0-0", "0-", "-5", "0-99"):
        plain(link.ask("/empty", f"Range: bytes={text}"), b"")
    answer = link.ask("/empty", "Range: bytes=1-")
    assert answer.status == 416
    assert answer.get("Content-Range") == "bytes */0"


def test_range_is_for_get(site, link):
    answer = link.ask(site.file.target, "Range: bytes=0-4", method="HEAD")
    assert (answer.status, answer.length) == (200, SIZE)


@pytest.mark.parametrize("text, wanted", [
    ("0-0,2-3", [(0, 0), (2, 3)]), ("0-0, -1", [(0, 0), (SIZE - 1, SIZE - 1)]),
    ("5-9,0-4", [(5, 9), (0, 4)]), ("0-4,70000-70009,99999-",
                                    [(0, 4), (70000, 70009), (99999, 99999)]),
    (" 0-1 ,\t3-4 ", [(0, 1), (3, 4)]), (",0-1,,3-4,", [(0, 1), (3, 4)]),
    (f"0-1,{SIZE}-,3-4", [(0, 1), (3, 4)])])
def test_ranges(site, link, text, wanted):
    answer = link.ask(site.file.target, f"Range: bytes={text}")
    assert answer.status == 206
    assert answer.get("Content-Range") is None
    assert answer.length == len(answer.body)
    assert multipart(answer) == [
        ("application/octet-stream", first, last, SIZE,
         site.file.octets[first:last + 1]) for first, last in wanted]
    assert answer.etag == link.ask(site.file.target).etag


def test_one_range_is_left(site, link):
    """Of several: as if it had been alone."""
    answer = link.ask(site.file.target, f"Range: bytes={SIZE}-,7-9")
    assert answer.status == 206
    if answer.get("Content-Range") is not None:
        assert answer.get("Content-Range") == f"bytes 7-9/{SIZE}"
        assert answer.body == site.file.octets[7:10]
    else:
        assert [p[1:3] for p in multipart(answer)] == [(7, 9)]


def test_boundary_is_not_in_the_file(site, link):
    """Of those that one could guess."""
    first = link.ask(site.file.target, "Range: bytes=0-1,4-5")
    boundary = first.get("Content-Type").partition("=")[2].encode()
    trap = site.put("trap", b"\r\n--" + boundary + b"\r\n\r\n" + bytes(50))
    answer = link.ask(trap.target, "Range: bytes=0-40,42-44")
    other = answer.get("Content-Type").partition("=")[2].encode()
    assert other not in trap.octets
    assert [p[4] for p in multipart(answer)] == [
        trap.octets[:41], trap.octets[42:45]]


# Conditions.  {e}, {w}, {d}: the entity tag, as a weak one, the date; {b}, {a}:
# a day before and after.

CONDITIONS = [
    (200, "If-None-Match: \"other\""),
    (304, "If-None-Match: {e}"),
    (304, "If-None-Match: {w}"),
    (304, "If-None-Match: \"x\", {e}"),
    (304, "If-None-Match: \"x\",{e},\"y\""),
    (304, "If-None-Match: *"),
    (200, "If-None-Match: W/\"x\", \"a,b\""),
    (304, "If-Modified-Since: {d}"),
    (304, "If-Modified-Since: {a}"),
    (200, "If-Modified-Since: {b}"),
    (200, "If-Modified-Since: yesterday"),
    (200, "If-Modified-Since: "),
    # A date of the other two forms.
    (304, "If-Modified-Since: Thursday, 02-Jan-20 03:04:05 GMT"),
    (304, "If-Modified-Since: Thu Jan  2 03:04:05 2020"),
    (200, "If-Modified-Since: Thu Jan  2 03:04:04 2020"),
    # With a tag the date does not count.
    (200, "If-None-Match: \"other\"", "If-Modified-Since: {d}"),
    (304, "If-None-Match: {e}", "If-Modified-Since: {b}"),
    (200, "If-Match: {e}"),
    (200, "If-Match: *"),
    (200, "If-Match: \"x\", {e}"),
    (412, "If-Match: \"other\""),
    (412, "If-Match: {w}"),
    (200, "If-Unmodified-Since: {d}"),
    (200, "If-Unmodified-Since: {a}"),
    (412, "If-Unmodified-Since: {b}"),
    (200, "If-Unmodified-Since: yesterday"),
    (200, "If-Match: {e}", "If-Unmodified-Since: {b}"),
    (412, "If-Match: \"other\"", "If-Unmodified-Since: {d}"),
    (304, "If-Match: {e}", "If-None-Match: {e}"),
    (412, "If-Match: \"x\"", "If-None-Match: {e}"),
    (412, "If-Unmodified-Since: {b}", "If-None-Match: {e}"),
    (304, "If-Match: {e}", "If-None-Match: {e}", "Range: bytes=0-4"),
    (412, "If-Match: \"x\"", "Range: bytes=0-4"),
    (304, "If-None-Match: {e}", "Range: bytes=999999-"),
    (206, "If-None-Match: \"x\"", "Range: bytes=0-4"),
    (206, "If-Range: {e}", "Range: bytes=0-4"),
    (206, "If-Range: {d}", "Range: bytes=0-4"),
    (200, "If-Range: \"other\"", "Range: bytes=0-4"),
    (200, "If-Range: {w}", "Range: bytes=0-4"),
    (200, "If-Range: {b}", "Range: bytes=0-4"),
    (200, "If-Range: {a}", "Range: bytes=0-4"),
    (200, "If-Range: yesterday", "Range: bytes=0-4"),
    (200, "If-Range: {e}"),
    (200, "If-Range: \"other\"", "Range: bytes=999999-"),
    (416, "If-Range: {e}", "Range: bytes=999999-"),
    (412, "If-Match: \"x\"", "If-Range: {e}", "Range: bytes=0-4"),
]


@pytest.mark.parametrize("status, fields", [(c[0], c[1:]) for c in CONDITIONS])
def test_conditions(site, link, status, fields):
    whole = link.ask(site.file.target)
    words = {"e": whole.etag, "w": "W/" + whole.etag,
             "d": http_client.date(OLD), "b": http_client.date(OLD - 86400),
             "a": http_client.date(OLD + 86400)}
    sent = [re.sub(r"\{(.)\}", lambda m: words[m[1]], f) for f in fields]
    answer = link.ask(site.file.target, *sent)
    assert answer.status == status, answer
    if status in (200, 206, 304):
        for name in ("ETag", "Vary"):
            assert answer.get(name) == whole.get(name)
    if status == 304:
        assert answer.body == b"" and answer.get("Content-Type") is None
    elif status == 200:
        plain(answer, site.file.octets)
    elif status == 206:
        plain(answer, site.file.octets[:5], 206)
    # HEAD is judged likewise, but knows no ranges.
    head = link.ask(site.file.target, *sent, method="HEAD")
    assert head.status == (200 if status in (206, 416) else status)


def test_conditions_do_not_make_files(site, link):
    assert link.ask("/none", "If-None-Match: *").status == 404
    assert link.ask("/none", "If-Match: *").status in (404, 412)
    assert link.ask("/bare/", "If-None-Match: *").status == 403


# Methods.

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH",
                                    "PROPFIND", "TRACE"])
def test_methods(site, link, method):
    answer = link.ask(site.file.target, "Content-Length: 0", method=method)
    assert answer.status == 405, answer
    allowed = {m.strip() for m in answer.get("Allow", "").split(",")}
    assert allowed == {"GET", "HEAD"}
    assert abs(seconds(answer.get("Date")) - time.time()) < 60
    # The connection is as good as before.
    plain(link.ask("/small.txt"), b"0123456789")


def test_connect(site):
    assert site.get("127.0.0.1:80", method="CONNECT").status in (400, 405)


def test_unknown_methods(site):
    for method in ("FROB", "get", "GETX"):
        assert site.get("/small.txt", method=method).status in (400, 405, 501)


def test_body_of_a_get(site, link):
    """Read, and not taken for the next request; or refused."""
    link = site.link()
    body = link.request("/none")
    link.raw(link.request("/small.txt", f"Content-Length: {len(body)}") + body)
    answer = link.receive()
    if answer.status == 200:
        plain(answer, b"0123456789")
        assert link.ask("/small.txt").status == 200
    else:
        assert answer.status == 413
    link.close()


# Connections.

def test_many_on_one(site):
    with site.link() as link:
        for i in range(500):
            file = (site.small, site.file, site.empty)[i % 3]
            plain(link.ask(file.target), file.octets)


def test_pipelined(site):
    """Answered in their order."""
    with site.link() as link:
        wanted = [site.small, site.big, site.empty, site.file] * 5
        link.raw(b"".join(link.request(f.target) for f in wanted))
        for file in wanted:
            plain(link.receive(), file.octets)
        link.raw(link.request("/none") + link.request("/bare/") +
                 link.request("/folder") +
                 link.request("/small.txt", method="HEAD") +
                 link.request("/small.txt", "Range: bytes=1-2"))
        assert [link.receive().status for _ in range(3)] == [404, 403, 301]
        assert link.receive("HEAD").status == 200
        assert link.receive().body == b"12"


def test_byte_by_byte(site):
    with site.link() as link:
        for byte in link.request("/small.txt", "Range: bytes=0-4"):
            link.raw(bytes([byte]))
        assert link.receive().body == b"01234"


@pytest.mark.parametrize("minor, field, keeps", [
    (1, None, True), (1, "Connection: close", False),
    (1, "Connection: keep-alive", True), (0, None, False),
    (0, "Connection: keep-alive", True), (0, "Connection: close", False)])
def test_keeping(site, minor, field, keeps):
    for method in ("GET", "HEAD"):
        for target in ("/small.txt", "/none", "/folder", site.big.target):
            with site.link() as link:
                fields = [field] if field else []
                answer = link.ask(target, *fields, method=method, minor=minor)
                assert answer.keeps == keeps, answer
                if keeps:
                    again = link.ask("/small.txt", *fields, minor=minor)
                    plain(again, b"0123456789")
                else:
                    assert link.ended()


def test_old_clients(site):
    """Without Host, and without what is chunked."""
    with site.link() as link:
        answer = link.ask(site.big.target, minor=0)
        plain(answer, site.big.octets)
        assert answer.get("Transfer-Encoding") is None
    answer = site.get(site.file, "Range: bytes=0-9", minor=0)
    assert answer.status in (200, 206)
    assert answer.body.startswith(site.file.octets[:10])


def test_host_is_needed(site):
    with site.link() as link:
        link.raw(b"GET /small.txt HTTP/1.1\r\n\r\n")
        assert link.receive().status in (200, 400)


def test_other_versions(site):
    for line in (b"GET /small.txt HTTP/2.0", b"GET /small.txt HTTP/0.9",
                 b"GET /small.txt"):
        with site.link() as link:
            link.raw(line + b"\r\nHost: x\r\n\r\n")
            try:
                assert link.receive().status in (400, 505)
            except Closed as closed:
                assert b"0123456789" not in closed.octets


def test_half_closed(site):
    """Who has said all gets all."""
    with site.link() as link:
        link.send(site.big.target, "Connection: close")
        link.socket.shutdown(1)
        plain(link.receive(), site.big.octets)
        assert link.ended()


# Settings.

def test_counters(site):
    before = site.web
    site.get(site.small)
    site.get(site.file, "Range: bytes=0-999")
    site.get("/none")
    after = site.web
    assert after["answers"] - before["answers"] == 3
    assert after["plain_bytes"] - before["plain_bytes"] == 10 + 1000
    assert after["not_found"] - before["not_found"] == 1
    assert after["root"] == str(site.root)


def test_status_as_text(site):
    """In short what has happened, and all of it, with the connections of this
    server apart from those of peers."""
    site.get(site.small)
    short = site.folder.ctl("status").out
    assert re.search(rf"^web +{site.address[0]}:{site.address[1]} ", short,
                     re.M)
    assert re.search(rf"^root +{re.escape(str(site.root))}$", short, re.M)
    assert re.search(r"^plain bytes +\d.* [KM]?i?B$", short, re.M)
    assert " 0\n" not in short.partition("\nweb\n")[2].partition("\n\n")[0]
    assert "\nserver\n" not in short and "web server" not in short
    everything = site.folder.ctl("status", "--all").out
    for title in ("server", "web", "web server"):
        assert everything.count(f"\n\n{title}\n") == 1


def test_off_unless_set(folder, daemon):
    assert all(row["name"] != "web" for row in folder.status()["listeners"])
    assert "\nweb\n" not in folder.ctl("status").out


def test_settings():
    """Each of them changed while it runs."""
    with site_of() as site:
        change_settings(site)


def change_settings(site):
    folder = site.folder
    file = site.put("file", size=1000)
    link = site.link()
    answer = plain(link.ask("/file"), file.octets)
    assert answer.get("Vary") is None
    folder.write(Web__MinSize="999")
    site.daemon.reload()
    answer = plain(link.ask("/file", *ASK_2), file.octets)
    assert answer.get("Vary") == VARY and makes_hash(answer)
    # Another root: the old one's files are no more.
    other = folder.path / "other"
    other.mkdir()
    (other / "new").write_bytes(b"new")
    folder.write(Web__Root=other)
    site.daemon.reload()
    assert link.ask("/file").status == 404
    assert link.ask("/new").body == b"new"
    # One that is not there: not now.
    folder.write(Web__Root=folder.path / "later")
    site.daemon.reload()
    assert link.ask("/new").status == 503
    assert site.web["problem"]
    (folder.path / "later").mkdir()
    (folder.path / "later" / "late").write_bytes(b"late")
    site.daemon.reload()
    assert link.ask("/late").body == b"late"
    assert "problem" not in site.web
    # Another address.
    folder.write(Web__Listen="127.0.0.2:0")
    site.daemon.reload()
    site.find()
    assert site.address[0] == "127.0.0.2"
    assert site.get("/late").body == b"late"
    folder.write(Web__Listen="off")
    site.daemon.reload()
    assert link.ended()
    link.close()
    with pytest.raises(ConnectionRefusedError):
        site.get("/late")
    site.find()
    assert site.address is None
    # And on again; a folder alone, or an address alone, is not enough.
    folder.write(Web__Listen="127.0.0.1:0", Web__Root="-")
    site.daemon.reload()
    site.find()
    assert site.address is None
    assert "Web.Root" in site.daemon.log()
    folder.write(Web__Root=folder.path / "later")
    site.daemon.reload()
    site.find()
    assert site.get("/late").body == b"late"


@pytest.mark.parametrize("listen, names", [
    ("[::1]:0", ["::1"]), ("[::]:0", ["::1", "127.0.0.1"]),
    ("127.0.0.1:0", ["127.0.0.1"])])
def test_addresses(listen, names):
    with site_of(Web__Listen=listen) as other:
        file = other.put("file", size=1000)
        for name in names:
            plain(http_client.get((name, other.address[1]), "/file"),
                  file.octets)


def test_passed_socket():
    """It is listened on whatever the settings say of addresses."""
    with site_of(launcher=["--pass-web", "127.0.0.1"],
                 Web__Listen="off") as other:
        file = other.put("file", size=1000)
        plain(other.get(file), file.octets)
        other.folder.write(Web__Root="-")
        other.daemon.reload()
        assert other.get(file).status == 503


def test_root_is_a_file(folder, daemons):
    folder.write(Web__Listen="127.0.0.1:0", Web__Root=folder.config)
    daemons().start()
    [row] = [r for r in folder.status()["listeners"] if r["name"] == "web"]
    host, _, port = row["address"].rpartition(":")
    assert http_client.get((host, int(port)), "/").status == 503
    assert folder.status()["web"]["problem"]


@pytest.mark.parametrize("root", [".", "state", "above/.."])
def test_root_has_the_services_own_files(folder, daemons, root):
    """The server secret is not given out, whatever leads to it."""
    (folder.path / "above").symlink_to(folder.path / "state")
    folder.write(Web__Listen="127.0.0.1:0", Web__Root=folder.path / root)
    daemon = daemons().start()
    [row] = [r for r in folder.status()["listeners"] if r["name"] == "web"]
    host, _, port = row["address"].rpartition(":")
    for path in ("/server.key", "/state/server.key"):
        assert http_client.get((host, int(port)), path).status == 503
    assert folder.status()["web"]["problem"]
    assert "own folders" in daemon.log()
    (folder.path / "files").mkdir()
    (folder.path / "files" / "file").write_bytes(b"octets")
    folder.write(Web__Root=folder.path / "files")
    daemon.reload()
    assert http_client.get((host, int(port)), "/file").body == b"octets"
    folder.write(Web__Root=folder.path)
    daemon.reload()
    assert http_client.get((host, int(port)), "/files/file").status == 503


@pytest.mark.parametrize("target", ["state", "."])
def test_root_leads_to_the_services_own_files(folder, daemons, target):
    """Whoever may change where its path leads gets nothing more by that."""
    root = folder.path / "root"
    (folder.path / "files").mkdir()
    (folder.path / "files" / "file").write_bytes(b"octets")
    root.symlink_to("files")
    folder.write(Web__Listen="127.0.0.1:0", Web__Root=root)
    daemon = daemons().start()
    [row] = [r for r in folder.status()["listeners"] if r["name"] == "web"]
    host, _, port = row["address"].rpartition(":")
    root.unlink()
    root.symlink_to(target)
    daemon.reload()
    for path in ("/server.key", "/state/server.key"):
        assert http_client.get((host, int(port)), path).status == 404
    assert http_client.get((host, int(port)), "/file").body == b"octets"
    assert "own folders" in daemon.log()


def test_root_is_replaced(site):
    """It is the folder that was there, until a reload."""
    with site_of() as other:
        other.put("a", b"old")
        assert other.get("/a").body == b"old"
        other.root.rename(other.root.with_name("moved"))
        other.root.mkdir()
        other.put("a", b"new")
        assert other.get("/a").body in (b"old", b"new")
        other.daemon.reload()
        assert other.get("/a").body == b"new"


def test_without_rights():
    """What the daemon may not read."""
    with site_of(uid=unprivileged()) as other:
        other.put("open", b"open")
        closed = other.put("closed", b"closed")
        closed.path.chmod(0)
        other.put("shut/file", b"shut")
        (other.root / "shut").chmod(0)
        other.put("pass/file", b"pass")
        (other.root / "pass").chmod(stat.S_IXUSR | stat.S_IXOTH)
        assert other.get("/open").body == b"open"
        assert other.get("/closed").status == 403
        assert other.get("/shut/file").status == 403
        assert other.get("/shut/").status == 403
        assert other.get("/pass/file").body == b"pass"
        for folder in ("shut", "pass"):
            (other.root / folder).chmod(0o755)


def test_ends_well_in_the_middle():
    """With clients that have not got everything."""
    with site_of() as other:
        file = other.put("file", noise(32 << 20))
        links = [other.link(room=4096) for _ in range(8)]
        for link in links:
            link.send(file.target)
            link.head()
        idle = other.link()
        assert idle.ask("/none").status == 404
        wait_until(lambda: other.web["answers"] >= 1, "answers")
        assert other.daemon.stop() == 0
        for link in (*links, idle):
            link.rest()
            link.close()
        other.start()
