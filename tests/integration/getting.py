# SPDX-License-Identifier: BSD-2-Clause
"""peerdist-get as tests run it, and hosts of a branch on loopback, for any
user: a daemon each, the first of them the second's only peer."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess

import content
import ipc
import lab
from conftest import BUILD, DEADLINE, Daemon, Folder, temporary_folder
from origin import Origin

GET = BUILD / "peerdist-get"
OK, FAILED, USAGE, NETWORK, FILE = range(5)
PART, SIDECAR = ".peerdist-part", ".peerdist-part.json"
# Nothing of this machine's settings.
CLEAN = {name: value for name, value in os.environ.items()
         if not name.lower().endswith("_proxy")}


class Got:
    """What a run of peerdist-get has left."""

    def __init__(self, process, out, err, path):
        self.code = process.returncode
        self.out, self.err = out, err
        self.path = path
        self.octets = path.read_bytes() if path and path.is_file() else None
        self.left = sorted(os.listdir(path.parent)) if path else []

    @property
    def document(self):
        found = json.loads(self.out)
        assert found["v"] == 1
        return found

    @property
    def by(self):
        """Bytes by source: local cache, peers, origin."""
        found = self.document["sources"]
        return found["local_cache"], found["peers"], found["origin"]

    @property
    def kept(self):
        """Bytes that were there before."""
        return self.document["sources"].get("partial", 0)

    def is_complete(self, octets):
        """All is as it should be after a download of these bytes."""
        assert self.code == OK, self.err
        assert self.octets == octets
        assert self.left == [self.path.name]
        document = self.document
        assert document["file"] == str(self.path)
        assert document["bytes"] == sum(self.by) + self.kept == len(octets)
        return self

    def is_failed(self, code=NETWORK):
        """It says why, and there is no file nor anything else."""
        assert self.code == code, self.err
        assert self.left == []
        assert json.loads(self.out)["error"]["message"]
        return self

    def is_stopped(self, code=NETWORK):
        """The same, but that what --continue needs is left."""
        assert self.code == code, self.err
        assert self.left == [self.path.name + PART, self.path.name + SIDECAR]
        return self


class Running:
    def __init__(self, command, path, env, **more):
        self.path = path
        self.process = subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
            env={**CLEAN, "HOME": "/nonexistent", **env})

    def end(self):
        try:
            out, err = self.process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"does not end: {out}{err}") from None
        return Got(self.process, out, (err or b"").decode(), self.path)

    def signal(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self

    def kill(self):
        return self.signal(signal.SIGKILL)


class Host:
    """A computer: its daemon, and who downloads there."""

    def __init__(self, path, peer=None, **settings):
        """peer: a host that has a daemon, or an address."""
        self.path = path
        path.mkdir(exist_ok=True)
        self.folder = Folder(path)
        if isinstance(peer, Host):
            peer = f"127.0.0.1:{peer.port}"
        if peer is not None:
            settings["Retrieval__Peers"] = peer
        self.folder.write(**{"Service__Mode": "distributed",
                             "Discovery__ProbeTimeout": "10ms",
                             "Discovery__BackoffMax": "1ms", **settings})
        self.daemon = Daemon(self.folder)
        self.count = 0

    def start(self):
        self.daemon.start()
        return self

    @property
    def port(self):
        port, = [row["port"] for row in self.folder.status()["listeners"]
                 if row["name"] == "retrieval"]
        return port

    def place(self):
        """A path in a new empty folder."""
        self.count += 1
        made = self.path / f"got{self.count}"
        made.mkdir()
        return made / "file"

    def begin(self, url, *args, path=None, prefix=(), env=None, json=True,
              **more):
        path = path or self.place()
        args = ["-o", path, *args]
        if json:
            args.insert(0, "--json")
        return Running([*prefix, GET, *args, url], path, {
            "PEERDIST_SOCKET": str(self.folder.socket), **(env or {})}, **more)

    def get(self, url, *args, **more):
        return self.begin(url, *args, **more).end()

    def bare(self, *args, env=None, **more):
        """With these arguments and nothing else."""
        return Running([GET, *args], None, {
            "PEERDIST_SOCKET": str(self.folder.socket), **(env or {})},
            **more).end()

    def add(self, what, units=None):
        """Units of a content come into the cache."""
        reader = lab.Reader(self.folder.socket, DEADLINE)
        reader.add_units(what, units)
        reader.close()

    def cached(self, info, octets):
        """How many bytes of it are in the cache."""
        client = ipc.Client(self.folder.socket, DEADLINE)
        handle = client.open_content(info)
        found = 0
        for at in range(0, len(octets), content.BLOCK):
            size = min(content.BLOCK, len(octets) - at)
            code, _, part = client.read_cached(handle, size, at)
            if code == 0:
                assert part == octets[at:at + size]
                found += size
        client.close()
        return found

    def wait_cached(self, page, size):
        lab.wait_until(lambda: self.cached(page.info, page.octets) >= size,
                       f"{size} bytes in the cache")

    def close(self):
        self.daemon.close()


@contextlib.contextmanager
def hosts(number=1, **settings):
    """Daemons, each with the one before as its peer."""
    with temporary_folder() as path, contextlib.ExitStack() as stack:
        made = []
        for i in range(number):
            host = Host(path / f"h{i}", made[-1] if made else None, **settings)
            stack.callback(host.close)
            made.append(host.start())
        yield made
        for host in made:
            if host.daemon.process.poll() is None:
                assert host.daemon.stop() == 0


class Patients:
    """Downloads that take their time, all at once, while other tests run."""

    def __init__(self, host):
        self.host = host
        self.origin = Origin()
        self.running = {}

    def begin(self, name, page, *args):
        path = f"/{len(self.running)}"
        self.origin.add(path, page)
        self.running[name] = page, self.host.begin(
            self.origin.url(path), *args)

    def end(self, name):
        """Its page, and what came of it."""
        page, running = self.running.pop(name)
        return page, running.end()

    def close(self):
        """Also of tests that were not chosen."""
        for _, running in self.running.values():
            running.kill().end()
        self.origin.close()


def parts_of(path):
    """The partial file of a target, and its description."""
    path = pathlib.Path(path)
    return (path.with_name(path.name + PART),
            path.with_name(path.name + SIDECAR))
