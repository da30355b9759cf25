# SPDX-License-Identifier: BSD-2-Clause
"""A daemon that gives out the files of a folder, and what its tests share."""

import contextlib
import os
import pathlib
import random
import select
import sys
import time
import urllib.parse

import described
import http_client
import ipc
from conftest import (DEADLINE, OTHER_UID, Daemon, Folder, as_uid,
                      temporary_folder)

LAUNCHER = pathlib.Path(__file__).resolve().parent / "launcher.py"
# A file that has changed less than two seconds ago is not hashed yet.
SETTLED_S = 2.05
OLD = 1577934245  # of files, unless said otherwise: 2020-01-02 03:04:05 UTC
KEY = "server secret".encode("utf-16-le")

ACCEPT = "Accept-Encoding: peerdist"
VERSION_1 = "X-P2P-PeerDist: Version=1.0"
VERSION_2 = "X-P2P-PeerDist: Version=1.1"
EX = "X-P2P-PeerDistEx: MinContentInformation={}, MaxContentInformation={}"
ASK_1 = (ACCEPT, VERSION_1)
ASK_2 = (ACCEPT, VERSION_2, EX.format("1.0", "2.0"))
ASK = {1: ASK_1, 2: ASK_2}
MAKE_HASH = "MakeHashRequest=true"
VARY = "Accept-Encoding, X-P2P-PeerDist, X-P2P-PeerDistEx"


def wait_until(fact, what, deadline=DEADLINE):
    """Looks again and again; returns what was found."""
    end = time.monotonic() + deadline
    while not (found := fact()):
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        select.select([], [], [], 0.01)
    return found


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class File:
    """One below the root.  target: its path in requests."""

    def __init__(self, site, name, octets):
        self.site = site
        self.name = name
        self.path = site.root / name
        self.target = "/" + urllib.parse.quote(name)
        self.octets = octets

    @property
    def described(self):
        if getattr(self, "_of", None) != (self.octets, self.site.key):
            self._of = self.octets, self.site.key
            self._described = described.Described(*self._of)
        return self._described


class Site:
    def __init__(self, path, uid=None, launcher=(), root=None, **settings):
        """uid: of a daemon that is not allowed everything; launcher: options of
        launcher.py; root: of another site."""
        self.folder = Folder(path)
        self.launcher = launcher
        self.root = root or path / "root"
        self.root.mkdir(exist_ok=True)
        self.key = KEY
        self.daemon = None
        self.uid = uid
        # The secret of Microsoft's test suite.
        self.folder.state.mkdir(mode=0o700)
        self.folder.key.write_bytes(KEY)
        self.folder.key.chmod(0o600)
        if uid is not None:
            path.chmod(0o777)
            for each in (self.folder.state, self.folder.key):
                os.chown(each, uid, uid)
        self.folder.write(**{"Web__Listen": "127.0.0.1:0",
                             "Web__Root": self.root, **settings})
        self.start()

    def start(self, *args):
        prefix = [] if self.uid is None else as_uid(self.uid)
        if self.launcher:
            prefix = [sys.executable, LAUNCHER, *self.launcher, *prefix]
        self.daemon = Daemon(self.folder, *args, prefix=prefix)
        self.daemon.start()
        self.find()
        return self

    def find(self):
        """Where it listens."""
        found = [row for row in self.folder.status()["listeners"]
                 if row["name"] == "web"]
        self.address = None
        if found:
            host, _, port = found[0]["address"].rpartition(":")
            self.address = host.strip("[]"), int(port)

    def restart(self, *args):
        assert self.daemon.stop() == 0
        self.daemon.close()
        return self.start(*args)

    def close(self):
        if self.daemon is not None:
            self.daemon.close()

    @property
    def web(self):
        """What the status says of it."""
        client = ipc.Client(self.folder.socket, DEADLINE, session=False)
        try:
            return client.admin(ipc.ADMIN_STATUS)["web"]
        finally:
            client.close()

    # Files.

    def put(self, name, octets=None, size=None, when=OLD, seed=None):
        """Makes a file; its change time is now, whatever is done."""
        if octets is None:
            octets = noise(size, seed if seed is not None else hash(name))
        made = File(self, name, octets)
        made.path.parent.mkdir(parents=True, exist_ok=True)
        made.path.write_bytes(octets)
        os.utime(made.path, (when, when))
        return made

    def settle(self, *files):
        """Until these, or all, are old enough to be hashed."""
        paths = [f.path for f in files] or [
            p for p in self.root.rglob("*") if p.is_file()]
        newest = max(p.stat().st_ctime for p in paths)
        wait_until(lambda: time.time() > newest + SETTLED_S, "old enough")

    # Requests.

    def link(self, **kwargs):
        return http_client.Link(self.address, DEADLINE, **kwargs)

    def get(self, target, *fields, **kwargs):
        """On a connection of its own."""
        with self.link() as link:
            return link.ask(getattr(target, "target", target), *fields,
                            **kwargs)

    def ask(self, file, *fields, version=2, link=None, **kwargs):
        asked = (*ASK[version], *fields)
        if link is None:
            return self.get(file, *asked, **kwargs)
        return link.ask(file.target, *asked, **kwargs)

    def hashed(self, *files, version=2):
        """Has these hashed, and waits until they are."""
        left = list(files)
        with self.link() as link:
            def some():
                left[:] = [f for f in left if not self.ask(
                    f, "Range: bytes=0-4095", version=version,
                    link=link).is_encoded]
                return not left
            wait_until(some, f"hashes of {[f.name for f in left]}")
        return files[0]


def plain(answer, octets, status=200):
    """That this is the file and nothing else."""
    assert answer.status == status, answer
    assert not answer.is_encoded
    assert answer.length == len(octets) and answer.cut == 0
    assert answer.body == octets
    return answer


def makes_hash(answer):
    """Whether the client is asked to come again.  Nothing by halves."""
    said = answer.get("X-P2P-PeerDistEx")
    if said is None:
        assert answer.is_encoded == (answer.get("X-P2P-PeerDist") is not None)
        return False
    assert not answer.is_encoded
    assert said == MAKE_HASH
    assert answer.get("X-P2P-PeerDist") == "Version=1.1"
    return True


def encoded(answer, file, version, said, start=None, length=None, etag=None):
    """That this is the content information of the file, or of a range of it,
    and all that has to come with it.  said: version of PeerDist."""
    size = len(file.octets)
    ranged = start is not None
    assert answer.status == (206 if ranged else 200), answer
    assert answer.is_encoded, answer
    assert answer.cut == 0
    described_length = length if ranged else size
    assert answer.get("X-P2P-PeerDist") == (
        f"Version={said}, ContentLength={described_length}")
    assert answer.get("X-P2P-PeerDistEx") is None
    assert answer.get("Content-Range") == (
        f"bytes {start}-{start + length - 1}/{size}" if ranged else None)
    assert answer.length == len(answer.body)
    assert answer.get("Accept-Ranges") == "bytes"
    assert answer.get("Vary") == VARY
    assert "no-transform" in answer.get("Cache-Control", "")
    assert answer.etag is not None
    assert answer.get("Last-Modified") is not None
    if etag is not None:
        assert answer.etag == etag
    file.described.check(answer.body, version, start or 0,
                         length if ranged else None)
    return answer


@contextlib.contextmanager
def site_of(**settings):
    with temporary_folder() as path:
        site = Site(path, **settings)
        try:
            yield site
            assert site.daemon.stop() == 0
        finally:
            site.close()


def unprivileged():
    """Whom a daemon runs as that must not read everything: None for oneself
    when that is so anyway."""
    return OTHER_UID if os.geteuid() == 0 else None
