# SPDX-License-Identifier: BSD-2-Clause
"""peerdist-get and what lies between it and the origin: TLS and HTTP/2, a
reverse proxy as the manual has it, proxies of the environment; and how both
read fields that are written otherwise, and part."""

import os
import re
import socket
import subprocess

import pytest

from conftest import DEADLINE, ROOT, needs_root, run
from getting import NETWORK, hosts
from origin import PEERDIST, PEERDIST_EX, Gone, Origin, Page
from test_ctl import FAILED, OK
from test_web_nginx import NGINX
from website import site_of

SIZE = 300000
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
CONFIG = """\
daemon off;
{user}
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 64; }}
http {{
	access_log access.log;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
{server}
}}
"""


@pytest.fixture(scope="module")
def host():
    with hosts() as (made,):
        yield made


@pytest.fixture
def origin():
    with Origin() as made:
        yield made


def serve(origin, path="/file", **more):
    return origin.add(path, Page(os.urandom(SIZE), 1, **more))


class Office:
    """The manual's server in front of a web root, with a certificate that
    nobody has signed."""

    def __init__(self, site):
        self.path = site.folder.path / "nginx"
        self.path.mkdir()
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", self.path / "key", "-out", self.path / "pem"])
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        (self.path / "conf").write_text(CONFIG.format(
            server=self.server(site.address),
            user="user root;" if os.geteuid() == 0 else ""))
        self.process = subprocess.Popen(
            [NGINX, "-p", self.path, "-e", self.path / "error.log", "-c",
             self.path / "conf"], stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            env=dict(os.environ, NGINX=f"{listener.fileno()};"))
        listener.close()

    def server(self, address):
        """It as it stands there, but for names and numbers."""
        page = (ROOT / "man/peerdistd.8").read_text()
        text = re.search(r"^server \{\n.*?^\}\n", page, re.M | re.S)[0]
        for old, new in (
                ("443 ssl;", f"127.0.0.1:{self.port} ssl http2;"),
                ("images.example.com", "localhost"),
                ("/etc/ssl/images.pem", str(self.path / "pem")),
                ("/etc/ssl/images.key", str(self.path / "key")),
                ("127.0.0.1:8080", f"{address[0]}:{address[1]}")):
            assert old in text
            text = text.replace(old, new)
        return text

    def url(self, name):
        return f"https://localhost:{self.port}/{name}"

    def log(self):
        return (self.path / "access.log").read_text()

    def trusted(self):
        """For a command of root, in a namespace of its own."""
        return ["unshare", "-m", "sh", "-c",
                f'mount --bind {self.path / "pem"} {CERTIFICATES}; exec "$@"',
                "sh"]

    def close(self):
        self.process.terminate()
        self.process.wait(DEADLINE)


@pytest.fixture(scope="module")
def office():
    if NGINX is None:
        pytest.skip("needs nginx")
    with site_of() as site:
        made = Office(site)
        made.site = site
        made.files = [site.put(f"file{i}", size=SIZE) for i in range(2)]
        site.settle()
        site.hashed(made.files[0])
        try:
            yield made
        finally:
            made.close()


def test_nobody_signed_it(office, host):
    """The bytes do not come from whom they should."""
    url = office.url("file0")
    got = host.get(url).is_failed(NETWORK)
    assert "certificate" in got.document["error"]["message"]
    told = host.folder.ctl("explain", url)
    assert told.code == FAILED and "certificate" in told.err


@needs_root
def test_tls(office, host):
    """And HTTP/2, whose names of fields are in lower case."""
    file = office.files[0]
    url = office.url("file0")
    got = host.get(url, prefix=office.trusted()).is_complete(file.octets)
    assert got.by == (0, 0, SIZE)
    assert got.document["peerdist"]["encoded"]
    got = host.get(url, prefix=office.trusted()).is_complete(file.octets)
    assert got.by == (SIZE, 0, 0)
    assert "HTTP/2.0\" 206" in office.log()
    told = host.folder.ctl("--json", "explain", url, prefix=office.trusted())
    assert (told.code, told.json["findings"]) == (OK, [])


@needs_root
def test_first_over_tls(office, host):
    """The hash request goes the same way."""
    file = office.files[1]
    got = host.get(office.url("file1"), prefix=office.trusted())
    got.is_complete(file.octets)
    assert got.by == (0, 0, SIZE)
    assert got.document["given_to_cache"] == SIZE


# Proxies of the environment.

def environment(names):
    return ["env", *(f"{name}={value}" for name, value in names.items())]


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_proxy(host, origin, name):
    """It is asked, not the host, whose name nobody knows."""
    url = "http://origin.invalid/file"
    page = serve(origin, url)
    proxy = {name: origin.url("")}
    host.get(url, env=proxy).is_complete(page.octets)
    assert origin.of("range")
    assert {r.target for r in origin.requests} == {url}
    origin.forget()
    told = host.folder.ctl("explain", url, prefix=environment(proxy))
    assert told.code == OK, told.err
    assert {r.target for r in origin.requests} == {url}


def test_no_proxy(host, origin):
    page = serve(origin)
    env = {"http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}
    host.get(origin.url("/file"), env=env).is_complete(page.octets)
    told = host.folder.ctl("explain", origin.url("/file"),
                           prefix=environment(env))
    assert told.code == OK, told.err


# Fields of answers.

@pytest.mark.parametrize("ex, asks", [
    ("makehashrequest=TRUE", True), ("Other=1, MakeHashRequest=true", True),
    (", ,MakeHashRequest=true,", True), ("MakeHashRequest=false", False),
    ("MakeHashRequest", False), ("HashRequest=true", False)])
def test_make_hash_request(host, origin, ex, asks):
    """In any case, among others; true alone means yes."""
    page = serve(origin, ready=False)
    page.twist("content", lambda _r, a: a.fields.update({PEERDIST_EX: ex}))
    host.get(origin.url("/file"), "--wait", "0").is_complete(page.octets)
    assert len(origin.of("hash")) == asks


def test_names_of_fields(host, origin):
    """In any case."""
    page = serve(origin)

    def lower(_request, answer):
        answer.fields = {n.lower(): v for n, v in answer.fields.items()}
        # What the origin here has to find.
        answer.fields["Content-Length"] = answer.fields.pop("content-length")
    for kind in ("content", "range"):
        page.twist(kind, lower)
    got = host.get(origin.url("/file")).is_complete(page.octets)
    assert got.document["peerdist"]["encoded"]
    assert origin.of("range") and not origin.of("plain")


def test_parameters_in_another_order(host, origin):
    """And those that nobody knows."""
    page = serve(origin)
    page.twist("content", lambda _r, a: a.fields.update({
        PEERDIST: f"Word, ContentLength={SIZE}, Other=x, Version=1.1"}))
    got = host.get(origin.url("/file")).is_complete(page.octets)
    assert got.document["peerdist"]["encoded"]


# The end of a connection.

@pytest.mark.parametrize("kind", ["content", "range"])
def test_good_bye(host, origin, kind):
    """Who is told that the connection ends reads all, and leaves in order."""
    page = serve(origin)
    ends = []

    def twist(request, answer):
        whole = answer.body
        answer.fields["Connection"] = "close"

        def parts():
            yield whole
            try:
                request.connection.settimeout(DEADLINE)
                ends.append(request.connection.recv(1))
            except OSError as error:
                ends.append(error)
            raise Gone
        answer.body = parts()
    page.twist(kind, twist)
    got = host.get(origin.url("/file")).is_complete(page.octets)
    assert got.document["peerdist"]["encoded"]
    origin.wait(lambda: len(ends) == len(origin.of(kind)), "ends")
    assert set(ends) == {b""}
