# SPDX-License-Identifier: BSD-2-Clause
"""Well-known programs as yardsticks: nginx under wrk, curl, aria2.  All on
loopback, with files of their own in a folder that the caller removes."""

import hashlib
import http.server
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

PIECE = 1 << 20


class Skip(Exception):
    pass


def find(name):
    path = shutil.which(
        name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Skip(f"{name} is missing, see make bench-deps")
    return path


def pinned(cpu, *command):
    """cpu: one, or a list of them as taskset has it."""
    return ["taskset", "-c", str(cpu), *map(str, command)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def end(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(what, seconds=10):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise Skip("a yardstick did not start")
        time.sleep(0.01)


def can_connect(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def cpu_seconds(pid):
    """Of the whole process, all threads, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)


NGINX = """\
daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log crit;
{user}
events {{ worker_connections 4096; }}
http {{
	access_log off;
	default_type application/octet-stream;
	sendfile on;
	tcp_nopush {nopush};
	tcp_nodelay on;
	{opened}
	keepalive_requests 1000000000;
	keepalive_timeout 1h;
	client_body_temp_path {dir}/t1;
	proxy_temp_path {dir}/t2;
	fastcgi_temp_path {dir}/t3;
	uwsgi_temp_path {dir}/t4;
	scgi_temp_path {dir}/t5;
	server {{
		listen 127.0.0.1:{port} {tls};
		root {root};
		{certificate}
	}}
}}
"""

# With it nginx does not look at the file again for an hour.
OPENED = """open_file_cache max=64 inactive=1h;
	open_file_cache_valid 1h;"""

CERTIFICATE = """ssl_certificate {dir}/cert;
		ssl_certificate_key {dir}/key;
		ssl_protocols TLSv1.2;
		ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256;"""


class Nginx:
    """One worker that serves the files of a folder.  nopush: what serves many
    connections faster makes a single one five times slower.  opened: files
    stay open, and are not looked at again."""

    def __init__(self, scratch, root, cpu, tls=False, nopush=False,
                 opened=True):
        self.dir = pathlib.Path(
            tempfile.mkdtemp(prefix="nginx-", dir=scratch))
        self.port = free_port()
        self.url = f"http{'s' * tls}://127.0.0.1:{self.port}/"
        if tls:
            self.make_certificate()
        (self.dir / "conf").write_text(NGINX.format(
            dir=self.dir, port=self.port, root=root,
            tls="ssl" if tls else "", nopush="on" if nopush else "off",
            user="user root;" if os.geteuid() == 0 else "",
            opened=OPENED if opened else "",
            certificate=CERTIFICATE.format(dir=self.dir) if tls else ""))
        self.process = subprocess.Popen(
            pinned(cpu, find("nginx"), "-p", self.dir, "-e",
                   self.dir / "error.log", "-c", self.dir / "conf"))
        try:
            wait_until(lambda: can_connect(self.port))
            wait_until(lambda: len(self.children()) == 1)
            self.worker = self.children()[0]
        except BaseException:
            self.close()
            raise

    def children(self):
        pid = self.process.pid
        return [int(word) for word in pathlib.Path(
            f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def make_certificate(self):
        subprocess.run(
            [find("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes",
             "-subj", "/CN=localhost", "-keyout", self.dir / "key", "-out",
             self.dir / "cert"], check=True, stderr=subprocess.DEVNULL)

    def close(self):
        end(self.process)
        shutil.rmtree(self.dir, ignore_errors=True)


WRK = """\
function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("\\ntotals %d %d %d %d\\n", summary.duration,
		summary.requests, summary.bytes,
		e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Wrk:
    """Load by one thread; the same request all the time, made once."""

    def __init__(self, scratch, url, cpu, pid, size, body=None, fields=()):
        """pid: the server; size: of each answer's body, at least."""
        self.script = pathlib.Path(scratch) / f"wrk-{pid}.lua"
        text = WRK + "".join(
            f'wrk.headers["{name}"] = "{value}"\n' for name, value in fields)
        if body is not None:
            quoted = "".join(f"\\{byte:03}" for byte in body)
            text += f'wrk.method = "POST"\nwrk.body = "{quoted}"\n'
        self.script.write_text(text)
        self.command = pinned(cpu, find("wrk"), "-t1", "-s", self.script)
        self.url, self.pid, self.size = url, pid, size

    def go(self, connections, seconds):
        """Requests a second, and the server's CPU seconds for each."""
        before = cpu_seconds(self.pid)
        out = subprocess.run(
            self.command + [f"-c{connections}", f"-d{seconds}s", self.url],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        cpu = cpu_seconds(self.pid) - before
        line = next(w for w in out.splitlines() if w.startswith("totals"))
        us, requests, received, errors = map(int, line.split()[1:])
        if errors or not requests or received < requests * self.size:
            raise Skip(f"wrk had {errors} errors, {requests} answers, "
                       f"{received} bytes of {self.url}")
        return requests * 1e6 / us, cpu / requests


def curl_seconds(url, path, cpu):
    path.unlink(missing_ok=True)
    command = pinned(cpu, find("curl"), "-s", "-f", "-o", path, url)
    began = time.monotonic()
    subprocess.run(command, check=True)
    return time.monotonic() - began


def bencode(x):
    if isinstance(x, int):
        return b"i%de" % x
    if isinstance(x, bytes):
        return b"%d:%s" % (len(x), x)
    if isinstance(x, dict):
        return b"d%se" % b"".join(
            bencode(k) + bencode(x[k]) for k in sorted(x))
    return b"l%se" % b"".join(map(bencode, x))


class Tracker:
    """Tells everybody of everybody, and when somebody has all."""

    def __init__(self):
        self.peers = {}
        self.lock = threading.Condition()
        tracker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = tracker.announced(urllib.parse.parse_qs(
                    urllib.parse.urlsplit(self.path).query,
                    encoding="latin-1"))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/announce"

    def announced(self, query):
        port = int(query["port"][0])
        event = query.get("event", [""])[0]
        with self.lock:
            others = b"".join(
                socket.inet_aton("127.0.0.1") + p.to_bytes(2, "big")
                for p in self.peers if p != port)
            self.peers[port] = self.peers.get(port) or event == "completed" \
                or query["left"][0] == "0"
            if event == "stopped":
                del self.peers[port]
            self.lock.notify_all()
        return bencode({b"interval": 60, b"peers": others})

    def wait(self, port, process):
        """Until the one on this port has all of it, or its process ends."""
        with self.lock:
            while not self.peers.get(port) and process.poll() is None:
                self.lock.wait(0.02)
        if process.poll():
            raise Skip(f"aria2 ended with {process.returncode}")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Torrent:
    """A file, its tracker and one that has it all."""

    def __init__(self, scratch, file, cpu):
        self.dir = pathlib.Path(scratch) / "torrent"
        self.dir.mkdir()
        self.cpu = cpu
        self.size = file.stat().st_size
        self.name = file.name
        self.tracker = Tracker()
        self.meta = self.dir / "meta"
        self.meta.write_bytes(bencode(self.describe(file)))
        port = free_port()
        self.seeder = self.start(
            file.parent, port, "--bt-seed-unverified=true",
            "--seed-ratio=0.0")
        try:
            wait_until(lambda: self.tracker.peers.get(port), 30)
        except BaseException:
            self.close()
            raise

    def describe(self, file):
        with open(file, "rb") as source:
            pieces = [hashlib.sha1(piece).digest() for piece in
                      iter(lambda: source.read(PIECE), b"")]
        return {b"announce": self.tracker.url.encode(),
                b"info": {b"length": self.size, b"name": self.name.encode(),
                          b"piece length": PIECE, b"pieces": b"".join(pieces)}}

    def start(self, folder, port, *options):
        return subprocess.Popen(
            pinned(self.cpu, find("aria2c"), "--no-conf", "--quiet",
                   f"--dir={folder}", f"--listen-port={port}",
                   "--enable-dht=false", "--enable-dht6=false",
                   "--bt-enable-lpd=false", "--enable-peer-exchange=false",
                   "--file-allocation=none", "--disable-ipv6=true",
                   *options, self.meta))

    def seconds(self):
        """From the start of one who wants it to when it has it."""
        folder = self.dir / "leech"
        folder.mkdir()
        port = free_port()
        began = time.monotonic()
        leecher = self.start(folder, port, "--seed-time=0")
        try:
            self.tracker.wait(port, leecher)
            seconds = time.monotonic() - began
        finally:
            end(leecher)
        if (folder / self.name).stat().st_size != self.size:
            raise Skip("aria2 did not get all")
        shutil.rmtree(folder)
        return seconds

    def close(self):
        end(self.seeder)
        self.tracker.close()
        shutil.rmtree(self.dir, ignore_errors=True)
