# SPDX-License-Identifier: BSD-2-Clause
"""The web server behind nginx: set up as the manual has it, and in the ways
that people get wrong, as `peerdistctl explain` tells them."""

import os
import re
import socket
import subprocess

import pytest

import http_client
from conftest import DEADLINE, ROOT, run
from test_ctl import NOT_FOUND, OK, PROBLEMS
from test_web_nginx import NGINX
from website import ASK_2, VARY, encoded, plain, site_of

SIZE = 300000

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx")

CONFIG = """\
daemon off;
{user}
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 256; }}
http {{
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	proxy_cache_path cache keys_zone=cache:1m;
	server {{
		listen 127.0.0.1:{port};
		{locations}
	}}
}}
"""


def of_the_manual():
    """What stands in its example beside the address."""
    page = (ROOT / "man/peerdistd.8").read_text()
    block = re.search(r"^\tlocation / \{\n(.*?)^\t\}", page, re.M | re.S)[1]
    lines = [line.strip() for line in block.splitlines()]
    assert lines.pop(0).startswith("proxy_pass ")
    return " ".join(lines)


NEW = "proxy_http_version 1.1;"
# How the proxy is set up, and what is told of it.
WAYS = {
    "manual": (of_the_manual(), [], OK),
    "old": ("proxy_http_version 1.0;", ["plain"], PROBLEMS),
    "accept": (NEW + 'proxy_set_header Accept-Encoding "";',
               ["accept-stripped"], PROBLEMS),
    "gzip-only": (NEW + "proxy_set_header Accept-Encoding gzip;",
                  ["accept-stripped"], PROBLEMS),
    "coding": (NEW + "proxy_hide_header Content-Encoding;",
               ["coding-stripped"], PROBLEMS),
    "peerdist": (NEW + 'proxy_set_header X-P2P-PeerDist ""; '
                 'proxy_set_header X-P2P-PeerDistEx "";', ["plain"],
                 PROBLEMS),
    "vary": (NEW + "proxy_hide_header Vary;", ["no-vary"], OK),
    "ranges": (NEW + 'proxy_set_header Range "";', ["no-ranges"], PROBLEMS),
    "validators": (NEW + "proxy_hide_header ETag; "
                   "proxy_hide_header Last-Modified;", ["no-validator"],
                   PROBLEMS),
    "cache": (NEW + "proxy_cache cache; proxy_cache_valid 200 1h;",
              [], OK),
}


class Proxy:
    """It is given its socket, so that the port is its own."""

    def __init__(self, path, address):
        path.mkdir()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        self.address = listener.getsockname()
        locations = " ".join(
            f"location /{name}/ {{ proxy_pass http://{address[0]}:"
            f"{address[1]}/; {lines} }}\n"
            for name, (lines, _, _) in WAYS.items())
        (path / "conf").write_text(CONFIG.format(
            port=self.address[1], locations=locations,
            user="user root;" if os.geteuid() == 0 else ""))
        self.log = path / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [NGINX, "-p", path, "-e", path / "error.log", "-c",
                 path / "conf"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, pass_fds=[listener.fileno()],
                env=dict(os.environ, NGINX=f"{listener.fileno()};"))
        listener.close()

    def url(self, target):
        return f"http://{self.address[0]}:{self.address[1]}{target}"

    def get(self, target, *fields, **kwargs):
        return http_client.get(self.address, target, *fields, **kwargs)

    def close(self):
        self.process.terminate()
        self.process.wait(DEADLINE)
        print(self.log.read_text(errors="replace"))


@pytest.fixture(scope="module", name="office")
def an_office():
    with site_of() as site:
        file = site.put("file.bin", size=SIZE, seed=5)
        site.put("page.html", b"<p>" * SIZE)
        site.settle()
        site.hashed(file)
        proxy = Proxy(site.folder.path / "nginx", site.address)
        try:
            yield site, proxy, file
        finally:
            proxy.close()


@pytest.mark.parametrize("way", WAYS)
def test_explain(office, way):
    site, proxy, _ = office
    _, found, code = WAYS[way]
    told = site.folder.ctl("--json", "explain", proxy.url(f"/{way}/file.bin"))
    assert told.err == ""
    assert ([f["name"] for f in told.json["findings"]], told.code) == (
        found, code)


def test_as_in_the_manual(office):
    site, proxy, file = office
    target = "/manual/file.bin"
    direct = site.get(file)
    answer = proxy.get(target, *ASK_2)
    encoded(answer, file, 2, "1.1", etag=direct.etag)
    assert answer.get("Vary") == VARY
    part = proxy.get(target, *ASK_2, "Range: bytes=70000-199999")
    encoded(part, file, 2, "1.1", 70000, 130000, etag=direct.etag)
    missing = proxy.get(
        target, "X-P2P-PeerDist: Version=1.1, MissingDataRequest=true",
        "Range: bytes=5-9", f"If-Range: {direct.etag}")
    plain(missing, file.octets[5:10], 206)
    plain(proxy.get(target, "Accept-Encoding: gzip"), file.octets)
    # Nor is compressed what compresses well: that would have weak validators.
    page = proxy.get("/manual/page.html", "Accept-Encoding: gzip")
    plain(page, b"<p>" * SIZE)
    assert page.etag == site.get("/page.html").etag
    fresh = proxy.get(target, f"If-None-Match: {direct.etag}")
    assert fresh.status == 304
    assert proxy.get("/manual/none", *ASK_2).status == 404


def test_a_cache_does_not_mix(office):
    """One that obeys Vary."""
    _, proxy, file = office
    for _ in range(2):
        plain(proxy.get("/cache/file.bin"), file.octets)
        encoded(proxy.get("/cache/file.bin", *ASK_2), file, 2, "1.1")


def test_curl_does_not_notice(office):
    """It asks for all codings that it knows."""
    _, proxy, file = office
    done = run(["curl", "--compressed", "-sS", "-o", "/dev/null", "-w",
                "%{http_code} %{size_download}",
                proxy.url("/manual/file.bin")])
    assert (done.code, done.out) == (0, f"200 {SIZE}")


def test_explain_what_is_not_there(office):
    site, proxy, _ = office
    told = site.folder.ctl("--json", "explain", proxy.url("/manual/none"))
    assert told.code == NOT_FOUND
