# SPDX-License-Identifier: BSD-2-Clause
"""The same requests to nginx and to the web root: the same status, fields and
bytes.  Every difference has to be one of those listed here with their reasons,
and every one of those has to occur."""

import os
import re
import shutil
import socket
import subprocess
import urllib.parse

import pytest

import http_client
from conftest import DEADLINE
from http_client import Closed, multipart
from test_web import CONDITIONS
from website import OLD, VARY, site_of

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
NGINX = shutil.which("nginx", path=PATH)
MIME_TYPES = "/etc/nginx/mime.types"
SIZE = 100000

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx")

# Without a master it cannot be given sockets.
CONFIG = """\
daemon off;
{user}
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 256; }}
http {{
	{types}
	default_type application/octet-stream;
	access_log off;
	sendfile on;
	absolute_redirect off;
	if_modified_since before;
	max_ranges 64;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {{
		listen 127.0.0.1:{port};
		root {root};
	}}
}}
"""


class Nginx:
    """It is given its socket, so that the port is its own."""

    def __init__(self, path, root):
        path.mkdir()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        self.address = listener.getsockname()
        types = f"include {MIME_TYPES};" if os.path.exists(MIME_TYPES) else ""
        (path / "conf").write_text(CONFIG.format(
            port=self.address[1], root=root, types=types,
            user="user root;" if os.geteuid() == 0 else ""))
        self.log = path / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [NGINX, "-p", path, "-e", path / "error.log", "-c",
                 path / "conf"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, pass_fds=[listener.fileno()],
                env=dict(os.environ, NGINX=f"{listener.fileno()};"))
        listener.close()

    def close(self):
        self.process.terminate()
        self.process.wait(DEADLINE)
        print(self.log.read_text(errors="replace"))


# What is asked.

class Case:
    """fields may have {e}, {w}, {d}, {a}, {b} as in test_web.py."""

    def __init__(self, group, target, *fields, method="GET", minor=1,
                 file=None):
        self.group, self.target, self.method = group, target, method
        self.fields, self.minor = fields, minor
        self.file = file or target

    def __repr__(self):
        more = "".join(f" | {f}" for f in self.fields)
        return f"{self.method} {self.target} HTTP/1.{self.minor}{more}"


FILES = {"/file.bin": SIZE, "/ten": 10, "/one": 1, "/empty": 0}

RANGES = [
    "0-0", "0-9", "5-", "-1", "-5", "0-", "0-99999", "0-100000", "-100000",
    "-100001", "99999-", "99999-99999", "100000-", "100000-100005", "-0",
    "1-0", "9-5", "", "-", "a-b", "1", "--5", "5--", "1-2-3", "0-0x5", " 0-4",
    "0 -4", "0- 4", "0-4 ", "\t0-4", "0-4\t", "+1-5", "1-+5", "00-04",
    "18446744073709551615-", "0-18446744073709551615",
    "0-99999999999999999999999", "99999999999999999999999-", "-18446744073709"
    "551616", "-99999999999999999999", "9223372036854775807-",
    "0-9223372036854775807", "0-9223372036854775806",
    "0-0,2-3", "0-0, -1", "5-9,0-4", "0-4,4-8", "0-4,2-3", "0-0,0-0,0-0",
    "0-4,100000-", "100000-,0-4", "100000-,100001-", "100000-,200000-,5-5",
    ",0-1", "0-1,", "0-1,,3-4", " 0-1 , 3-4 ", "0-1,x", "x,0-1", "0-1,-0",
    "0-1,-", "0-1;3-4", "0-99999,0-0", "0-,0-", "0-,-1", "0-49999,50000-",
    "0-99999,0-99999", "0-99998,99999-", "-50000,0-49999",
    ",".join(f"{i}-{i}" for i in range(0, 128, 2)),
    ",".join(f"{i}-{i}" for i in range(0, 130, 2)),
    ",".join(f"{i}-{i}" for i in range(0, 1000, 2)),
    ",".join(["0-0"] * 64), ",".join(["100000-"] * 100),
    ",".join(["100000-"] * 70 + ["5-5"]),
]
UNITS = ["bytes=0-4", "Bytes=0-4", "BYTES=0-4", "bytes 0-4", "bytes:0-4",
         "lines=0-4", "bytes", "=0-4", "0-4", "bytes = 0-4", "bytes=0-4 bytes",
         "bytesx=0-4", "x-bytes=0-4", "bytes=bytes=0-4", "", "none"]

PATHS = [
    "/", "//", "/.", "/./", "/folder", "/folder/", "/folder/.", "/folder/./",
    "/folder//", "//folder", "/folder/index.html", "/folder/index.html/",
    "/folder/none", "/none", "/none/", "/none/../ten", "/ten/../one", "/ten/",
    "/ten/x", "/ten/.", "/ten/..", "/ten/../", "/ten/./", "/ten//",
    "/folder/..", "/folder/../", "/folder/../ten", "/folder/../../ten", "/..",
    "/../", "/../ten", "/folder/../..", "/folder/../../", "/...", "/.../ten",
    "/%2e", "/%2e%2e", "/%2e%2e/", "/%2e%2e/ten", "/.%2e/ten", "/folder%2f",
    "/folder%2Findex.html", "/%2ften", "/%2f%2f..", "/folder/%2e%2e/ten",
    "/folder/%2e./ten", "/ten?", "/ten?x", "/ten?x=/../y", "/folder?x=y",
    "/folder?", "/folder/?x", "/ten#x", "/ten%23x", "/ten%3fx", "/ten%3Fx",
    "/%74en", "/t%65n", "/ten%00", "/%00", "/ten%00.html", "/ten%0a",
    "/ten%0d", "/ten%20", "/ten%", "/ten%4", "/ten%zz", "/ten%4g", "/%", "/%%",
    "/a%20b", "/a%2520b", "/a+b", "/a%2bb", "/%c3%a4", "/%C3%A4", "/%ff%fe",
    "/%e2%82", "/back%5Cslash", "/back\\slash", "/~", "/;", "/ten;x", "/ten:x",
    "/bare", "/bare/", "/bare?x", "/bare/file", "/bare/FILE", "/to", "/to/",
    "/in", "/in/", "/in/file", "/loop", "/loop/", "/dangling", "/dangling/",
    "/deep/in/here", "/deep/in", "/deep/in/", "/deep///in/./../in/here",
    "/" + "x" * 255, "/" + "x" * 256, "/" + "y/" * 500, "/" + "%78" * 255,
    "/" + "a/../" * 300 + "ten", "/" + "a/" * 100 + "../" * 100 + "ten",
    "/" + "./" * 500 + "ten", "/" + "/" * 500 + "ten", "/.hidden", "/folder/.x",
    "/sub%20folder", "/sub%20folder/", "/sub%20folder?q=%20", "/sub folder",
    "/s%e9", "/semi;colon", "/semi;colon/", "/que%3fry", "/per%25cent",
    "/per%cent", "/hash%23", "/hash%23/", "/quote%22", "/less%3cmore",
    "/colon:", "/amp&", "/eq=", "/at@", "/comma,", "/plus+", "/star*",
    "/col%3a%3a", "/new%0aline", "/new%0aline/", "/cr%0dlf", "/tab%09",
]

NAMED = ["sub folder", "semi;colon", "que?ry", "per%cent", "hash#", "quote\"",
         "less<more", "colon:", "amp&", "eq=", "at@", "comma,", "plus+",
         "star*", "new\nline", "cr\rlf", "tab\t"]

EXTENSIONS = """html htm HTML shtml css xml gif jpeg jpg js atom rss mml txt jad
wml htc avif png svg svgz tif tiff wbmp webp ico jng bmp woff woff2 jar war ear
json hqx doc pdf ps eps ai rtf m3u8 kml kmz xls eot ppt odg odp ods odt pptx
xlsx docx wmlc wasm 7z cco jardiff jnlp run pl pm prc pdb rar rpm sea swf sit
tcl tk der pem crt xpi xhtml xspf zip bin exe dll deb dmg iso img msi msp msm
mid midi kar mp3 ogg m4a ra 3gpp 3gp ts mp4 mpeg mpg mov webm flv m4v mng asx
asf wmv avi md csv gz tar xz efi cab wim esd unheard-of tar.gz""".split()


def range_cases():
    for text in RANGES:
        for target in FILES:
            yield Case("ranges", target, f"Range: bytes={text}")
        yield Case("ranges", "/file.bin", f"Range: bytes={text}",
                   method="HEAD")
    for text in UNITS:
        yield Case("ranges", "/file.bin", f"Range: {text}")
    for target in ("/none", "/folder", "/bare/", "/folder/"):
        yield Case("ranges", target, "Range: bytes=0-1")
        yield Case("ranges", target, "Range: bytes=900-")
    yield Case("ranges", "/file.bin", "Range: bytes=0-1", minor=0)
    yield Case("ranges", "/file.bin", "range: bytes=0-1")
    yield Case("ranges", "/file.bin", "RANGE:bytes=0-1")


def condition_cases():
    for _, *fields in CONDITIONS:
        for method in ("GET", "HEAD"):
            yield Case("conditions", "/file.bin", *fields, method=method)
    for fields in (
            ["If-None-Match: {e}garbage"], ["If-None-Match: {e},"],
            ["If-None-Match: ,{e}"], ["If-None-Match: {e} , \"x\""],
            ["If-None-Match:"], ["If-None-Match: \"\""],
            ["If-None-Match: x"], ["If-None-Match: \"x"],
            ["If-None-Match: w/{e}"], ["If-None-Match: *, {e}"],
            ["If-None-Match: **"], ["If-Match: {e}garbage"],
            ["If-Match: \"x\" , {e}"], ["If-Match: x"], ["If-Match: \"\""],
            ["If-Match: {w}, {e}"],
            ["If-Modified-Since: {d}; length=5"],
            ["If-Modified-Since: Thu, 02 Jan 2020 03:04:05 UTC"],
            ["If-Modified-Since: Thu, 2 Jan 2020 03:04:05 GMT"],
            ["If-Modified-Since: Mon, 02 Jan 2020 03:04:05 GMT"],
            ["If-Modified-Since: Thu, 02 Jan 2020 25:04:05 GMT"],
            ["If-Modified-Since: Thu, 31 Feb 2020 03:04:05 GMT"],
            ["If-Modified-Since: 1577934245"],
            ["If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT"],
            ["If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"],
            ["If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"],
            ["If-Unmodified-Since: Fri, 31 Dec 9999 23:59:59 GMT"],
            ["If-Range: {e}", "Range: bytes=0-1,3-4"],
            ["If-Range: \"x\"", "Range: bytes=0-1,3-4"],
            ["If-Range: {e}", "Range: bytes=x"],
            ["If-Range: x", "Range: bytes=0-1"],
            ["If-Range:", "Range: bytes=0-1"],
            ["If-Range: \"", "Range: bytes=0-1"],
            ["If-Range: {e}, \"x\"", "Range: bytes=0-1"],
            ["If-Range: *", "Range: bytes=0-1"]):
        yield Case("conditions", "/file.bin", *fields)
    for target in ("/none", "/folder", "/bare/", "/empty"):
        for field in ("If-None-Match: *", "If-Match: *", "If-Match: \"x\"",
                      "If-Modified-Since: {a}", "If-Unmodified-Since: {b}"):
            yield Case("conditions", target, field, file="/empty")


def path_cases():
    for target in PATHS:
        for method in ("GET", "HEAD"):
            yield Case("paths", target, method=method)
    yield Case("paths", "/%C3%A4".encode().decode("latin-1"))
    yield Case("paths", b"/\xc3\xa4".decode("latin-1"))
    yield Case("paths", "http://localhost/ten")
    yield Case("paths", "http://localhost")
    yield Case("paths", "http://localhost/folder")
    yield Case("paths", "http://localhost/../ten")


def connection_cases():
    for minor in (0, 1):
        for field in (None, "close", "keep-alive", "Keep-Alive", "CLOSE",
                      "close, x", "x, close", "upgrade", "x"):
            for target in ("/ten", "/none", "/folder"):
                fields = [f"Connection: {field}"] if field else []
                yield Case("connections", target, *fields, minor=minor)
                yield Case("connections", target, *fields, minor=minor,
                           method="HEAD")
    for fields in (["Content-Length: 0"], ["Content-Length: x"],
                   ["Content-Length: -1"], ["Expect: 100-continue"],
                   ["Upgrade: h2c", "Connection: upgrade"],
                   ["X: " + "x" * 4000], ["X-Empty:"], ["Accept: text/html"],
                   ["Accept-Encoding: gzip, br"], ["Accept-Encoding: *"],
                   ["Accept-Encoding: identity;q=0"], ["Cookie: a=b"],
                   ["Authorization: Basic eDp5"], ["Cache-Control: no-cache"],
                   ["Pragma: no-cache"], ["Max-Forwards: 0"]):
        yield Case("connections", "/ten", *fields)


def all_cases():
    yield from range_cases()
    yield from condition_cases()
    yield from path_cases()
    yield from connection_cases()
    for name in EXTENSIONS:
        yield Case("types", f"/types/a.{name}")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE",
                   "MKCOL"):
        for target in ("/ten", "/none", "/folder", "/folder/"):
            yield Case("methods", target, "Content-Length: 0", method=method)


GROUPS = ["ranges", "conditions", "paths", "connections", "types", "methods"]


# How they may differ.  Each takes a case, what differs (status, reason, keeps,
# body, or a field's name in lower case), ours and theirs.

def is_error(answer):
    return answer.status >= 300 and answer.status != 304


def text_of_error(case, what, us, them):
    """Errors are told in a line of text, not in HTML."""
    return us.status == them.status and is_error(us) and (
        what in ("body", "content-length") or
        what == "content-type" and us.get(what, "").startswith("text/plain"))


def etag_form(case, what, us, them):
    """nginx's entity tag stays the same when a file is overwritten within a
    second and keeps its size; ours does not."""
    return what == "etag" and us.etag is not None and them.etag is not None


def server_name(case, what, us, them):
    """Nobody needs to know."""
    return what == "server" and us.get("Server") is None


def vary(case, what, us, them):
    """What may be answered by its hashes says so."""
    return what == "vary" and us.get(what) == VARY and case.target in (
        "/file.bin",)


def says_keep_alive(case, what, us, them):
    """To clients of 1.1, who know."""
    return what == "connection" and us.keeps and them.keeps and (
        us.get(what) is None and them.get(what) == "keep-alive" and
        case.minor == 1)


def asks_range(case):
    return any(f.lower().startswith("range") for f in case.fields)


def range_of_head(case, what, us, them):
    """RFC 9110, 14.2: Range is defined for GET alone."""
    return case.method == "HEAD" and asks_range(case) and (
        us.status == 200 and them.status in (206, 416))


def spec_of(case):
    for field in case.fields:
        name, _, value = field.partition(":")
        if name.lower() == "range":
            return value.strip()
    return ""


def malformed(case):
    unit, _, ranges = spec_of(case).partition("=")
    if unit.lower() != "bytes":
        return True
    parts = [p.strip(" \t") for p in ranges.split(",")]
    parts = [p for p in parts if p]
    for part in parts:
        match = re.match(r"(\d*)-(\d*)\Z", part)
        if not match or part == "-":
            return True
        if match[1] and match[2] and int(match[2]) < int(match[1]):
            return True
    return not parts


def malformed_range(case, what, us, them):
    """RFC 9110, 14.2: an invalid Range is ignored; nginx answers 416, and takes
    blanks inside of a range."""
    return what == "status" and malformed(case) and us.status == 200 and (
        them.status in (206, 416))


def list_of_ranges(case, what, us, them):
    """RFC 9110, 5.6.1: a list may have empty members, and tabs are blanks."""
    spec = spec_of(case).partition("=")[2]
    return what == "status" and not malformed(case) and (
        us.status in (200, 206) and them.status == 416 and (
            "\t" in "".join(case.fields) or
            "" in [m.strip() for m in spec.split(",")]))


def numbers_without_limit(case, what, us, them):
    """The end of a range may be any number."""
    return what == "status" and not malformed(case) and (
        us.status in (200, 206) and them.status == 416 and
        any(int(n) >= 2 ** 63 - 1 for n in re.findall(r"\d+", spec_of(case))))


def reason_phrase(case, what, us, them):
    """Those of RFC 9110."""
    return what == "reason" and (us.status, us.reason) in (
        (405, "Method Not Allowed"), (416, "Range Not Satisfiable"))


def accept_ranges(case, what, us, them):
    """Also with a range, as MS-PCCRTP has it, and when nothing has changed."""
    return what == "accept-ranges" and us.status in (206, 304) and (
        us.get(what) == "bytes")


def field_of(case, name):
    for field in case.fields:
        if field.lower().startswith(name.lower() + ":"):
            return field.partition(":")[2].strip()
    return None


def tag_before_date(case, what, us, them):
    """RFC 9110, 13.2.2: with an entity tag the date does not count; nginx wants
    both."""
    return what == "status" and (us.status, them.status) in (
        (304, 200), (200, 412)) and (
        field_of(case, "If-None-Match") == "{e}" and
        field_of(case, "If-Modified-Since") is not None or
        field_of(case, "If-Match") == "{e}" and
        field_of(case, "If-Unmodified-Since") is not None)


def not_a_date(case, what, us, them):
    """RFC 9110, 13.1.3 and 13.1.4: what is not a date is ignored; there are
    three forms of it, and nothing behind."""
    return what == "status" and us.status == 200 and (
        field_of(case, "If-Unmodified-Since") == "yesterday" or
        (field_of(case, "If-Modified-Since") or "").endswith(
            ("; length=5", " UTC")))


def star_in_a_list(case, what, us, them):
    """RFC 9110, 13.1.2: it stands alone."""
    return field_of(case, "If-None-Match") == "*, {e}" and us.status == 200


def method_first(case, what, us, them):
    """Whatever the path, nothing else can be done with it."""
    return what == "status" and us.status == 405 and (
        case.method not in ("GET", "HEAD"))


def allow(case, what, us, them):
    """RFC 9110, 15.5.6: a 405 must have it."""
    return what == "allow" and us.status == 405 and (
        us.get(what) == "GET, HEAD" and them.get(what) is None)


def trace(case, what, us, them):
    """No reason to end the connection."""
    return case.method == "TRACE" and what in ("keeps", "connection") and (
        us.keeps)


def empty_query(case, what, us, them):
    """Is one, and kept."""
    return what == "location" and case.target.endswith("?") and (
        us.get(what) == them.get(what) + "?")


def escapes(case, what, us, them):
    """A few more characters are sent as %XX."""
    return what == "location" and urllib.parse.unquote(
        us.get(what)) == urllib.parse.unquote(them.get(what))


# Registered since, or never under the name that nginx has.
TYPES = {"js": "text/javascript", "bmp": "image/bmp", "m4a": "audio/mp4",
         "m4v": "video/mp4"}
UNKNOWN = "application/octet-stream"


def better_type(case, what, us, them):
    """What is registered now, or not known to nginx."""
    extension = case.target.rpartition(".")[2]
    return what == "content-type" and case.group == "types" and (
        us.get(what) == TYPES.get(extension) or
        us.get(what) != UNKNOWN and them.get(what) == UNKNOWN)


def rare_type(case, what, us, them):
    """The table is short: nothing is lost by these."""
    return what == "content-type" and case.group == "types" and (
        us.get(what) == UNKNOWN and case.target.rpartition(".")[2] in RARE)


RARE = """mml jad wml htc svgz wbmp jng war ear hqx ai kml kmz odg wmlc cco
jardiff jnlp run pl pm prc pdb rpm sea sit tcl tk xpi xspf mid midi kar ra 3gpp
3gp flv mng asx asf""".split()


def refused_before(case, what, us, them):
    """What is refused by the connection, before it is known what is asked for,
    is without words."""
    return us.status in (400, 405) and us.status == them.status and (
        what in ("content-type", "body", "content-length") and
        us.body == b"")


JUSTIFIED = [text_of_error, etag_form, server_name, vary, says_keep_alive,
             range_of_head, malformed_range, list_of_ranges,
             numbers_without_limit, reason_phrase, accept_ranges,
             tag_before_date, not_a_date, star_in_a_list, method_first, allow,
             trace, empty_query, escapes, better_type, rare_type,
             refused_before]


# The comparison.

class Server:
    """retries: after a 412 nginx says that the connection is kept, and closes
    it."""

    def __init__(self, address, retries=False):
        self.address = address
        self.retries = retries
        self.link = None
        self.tags = {}

    def ask(self, case, words):
        """On a connection that may have served others."""
        fields = [re.sub(r"\{([ewdab])\}", lambda m: words[m[1]], f)
                  for f in case.fields]
        fresh = self.link is None
        if fresh:
            self.link = http_client.Link(self.address, DEADLINE)
        # The same bytes to both.
        octets = self.link.request(case.target, *fields, method=case.method,
                                   minor=case.minor, host="localhost")
        try:
            self.link.raw(octets)
            answer = self.link.receive(case.method)
            while answer.status == 100:
                answer = self.link.receive(case.method)
        except (Closed, BrokenPipeError) as lost:
            assert not getattr(lost, "octets", b"")
            if self.retries and not fresh:
                self.close()
                return self.ask(case, words)
            answer = None
        if answer is None or not answer.keeps:
            self.link.ended()
            self.close()
        return answer

    def words(self, case):
        """The validators of the case's file here."""
        target = case.file
        if target not in self.tags:
            answer = self.ask(Case("", target), {})
            self.tags[target] = answer and answer.etag or '"none"'
        tag = self.tags[target]
        return {"e": tag, "w": "W/" + tag.removeprefix("W/"),
                "d": http_client.date(OLD), "a": http_client.date(OLD + 86400),
                "b": http_client.date(OLD - 86400)}

    def close(self):
        if self.link is not None:
            self.link.close()
        self.link = None


def is_multipart(answer):
    return answer.get("Content-Type", "").startswith("multipart/")


def differences(us, them):
    """Names of what is not the same.  With another status everything is."""
    if us is None or them is None:
        return [] if us is them else ["connection lost"]
    if us.status != them.status:
        return ["status"]
    found = [what for what in ("reason", "keeps")
             if getattr(us, what) != getattr(them, what)]
    both = is_multipart(us) and is_multipart(them)
    for name in sorted(us.names | them.names):
        mine, other = us.get(name), them.get(name)
        if name == "date" and mine and other:
            continue
        # Boundaries are free.
        if both and name in ("content-type", "content-length"):
            continue
        if mine != other:
            found.append(name)
    if both:
        if multipart(us) != multipart(them):
            found.append("body")
    elif us.body != them.body:
        found.append("body")
    return found


def fill(site):
    for target, size in FILES.items():
        site.put(target[1:], size=size)
    site.put("folder/index.html", b"<p>index")
    site.put("bare/file", b"bare")
    site.put("deep/in/here", b"here")
    for name in ("a b", "a+b", "ä", "back\\slash", "~", ";", ".hidden",
                 "x" * 255):
        site.put(name, name.encode())
    for name in NAMED:
        (site.root / name).mkdir()
    for name in EXTENSIONS:
        site.put(f"types/a.{name}", b"x")
    for name, target in (("to", "ten"), ("in", "bare"), ("loop", "loop"),
                         ("dangling", "nowhere")):
        (site.root / name).symlink_to(target)


@pytest.fixture(scope="module")
def found():
    """What differs: (case, what, ours, theirs) by group, and how many cases
    there were."""
    with site_of() as site:
        fill(site)
        nginx = Nginx(site.folder.path / "nginx", site.root)
        ours, theirs = Server(site.address), Server(nginx.address, True)
        differing = {group: [] for group in GROUPS}
        counts = dict.fromkeys(GROUPS, 0)
        try:
            for case in all_cases():
                us = ours.ask(case, ours.words(case))
                them = theirs.ask(case, theirs.words(case))
                counts[case.group] += 1
                for what in differences(us, them):
                    differing[case.group].append((case, what, us, them))
        finally:
            ours.close()
            theirs.close()
            nginx.close()
        yield differing, counts


def reason_for(case, what, us, them):
    if us is None or them is None:
        return None
    for reason in JUSTIFIED:
        if reason(case, what, us, them):
            return reason
    return None


def shown(answer, what):
    if answer is None:
        return None
    if what in ("status", "reason", "keeps"):
        return answer.status, answer.reason, answer.keeps
    if what == "body":
        return answer.body[:60]
    return answer.get(what)


@pytest.mark.parametrize("group", GROUPS)
def test_same_as_nginx(found, group):
    differing, counts = found
    assert counts[group] > 20
    unjustified = [
        f"{case}: {what}: {shown(us, what)!r}, nginx {shown(them, what)!r}"
        for case, what, us, them in differing[group]
        if reason_for(case, what, us, them) is None]
    assert not unjustified, "\n".join(unjustified)


def test_each_reason_occurs(found):
    differing, counts = found
    assert sum(counts.values()) > 700
    used = {reason_for(*each) for group in GROUPS for each in differing[group]}
    assert not [r.__name__ for r in JUSTIFIED if r not in used]
