# SPDX-License-Identifier: BSD-2-Clause
"""Beneath the root somebody has mounted a file system that does not answer:
whoever wants something else does not wait for it."""

import threading

import pytest
import stalling
from website import noise, site_of, wait_until

SIZE = 3 << 20


@pytest.fixture(params=[(), ("--no-openat2",)], ids=["openat2", "walk"])
def site(request):
    with site_of(launcher=request.param) as made:
        yield made


def mounted(where, files, **kwargs):
    try:
        return stalling.Stalling(where, files, **kwargs)
    except OSError as e:
        pytest.skip(f"no FUSE here: {e}")


class Asking(threading.Thread):
    """Requests that may have to wait."""

    def __init__(self, site, target, times=1):
        super().__init__()
        self.site, self.target, self.times = site, target, times
        self.answers = []
        self.start()

    def run(self):
        links = [self.site.link() for _ in range(self.times)]
        for link in links:
            link.send(self.target)
        for link in links:
            self.answers.append(link.receive("GET"))
            link.close()


def others_are_served(site, name):
    fresh = site.put(name, b"fresh")
    with site.link() as link:
        link.socket.settimeout(5)
        for target in (site.known, fresh, site.known):
            assert link.ask(target.target).status == 200


def stalls(site, fs, target, octets, *what, let=0, times=1):
    """While these are not answered, others are; in the end all are."""
    fs.stall(*what, let=let)
    asking = Asking(site, target, times)
    try:
        wait_until(lambda: fs.held or not asking.is_alive(), "asked")
        others_are_served(site, f"fresh-{what}-{let}")
    finally:
        fs.release()
        asking.join()
    assert [a.body for a in asking.answers] == [octets] * times


@pytest.mark.parametrize("flags", [0, stalling.DIRECT_IO])
def test_reads(site, flags):
    """At whichever of them: with direct I/O nothing that a worker has read is
    in the page cache."""
    octets = noise(SIZE)
    site.known = site.put("known", b"known")
    (site.root / "mount").mkdir()
    for let in (0, 3, 17, 40, 60, 68, 70, 72, 80, 100):
        with mounted(site.root / "mount", {"big": octets}, flags=flags) as fs:
            stalls(site, fs, "/mount/big", octets, stalling.READ, let=let)


@pytest.mark.parametrize("what", [stalling.LOOKUP, stalling.OPEN,
                                  stalling.READ, stalling.FLUSH])
def test_way_is_another_now(site, what):
    """What has just been opened on the disk leads there."""
    site.known = site.put("known", b"known")
    site.put("way/file", b"disk")
    for _ in range(3):
        assert site.get("/way/file").body == b"disk"
    (site.root / "mount").mkdir()
    with mounted(site.root / "mount", {"file": b"mounted"}) as fs:
        (site.root / "way").rename(site.root / "old")
        (site.root / "way").symlink_to("mount")
        stalls(site, fs, "/way/file", b"mounted", what)


@pytest.mark.parametrize("what", [stalling.OPEN, stalling.READ,
                                  stalling.FLUSH])
def test_file_is_mounted(site, what):
    """On a file: no folder on the way to it is on another file system."""
    site.known = site.put("known", b"known")
    file = site.put("file", b"disk")
    assert site.get(file).body == b"disk"
    with mounted(file.path, b"mounted") as fs:
        stalls(site, fs, "/file", b"mounted", what, times=8)
