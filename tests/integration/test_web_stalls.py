# SPDX-License-Identifier: BSD-2-Clause
"""Beneath the root somebody has mounted a file system that does not answer:
whoever wants something else does not wait for it, and whoever wants it does
not wait for ever."""

import contextlib
import signal
import threading
import time

import pytest
import stalling
from website import noise, site_of, wait_until

SIZE = 3 << 20
PATIENCE_S = 20
SLOW_THREADS = 8


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


def stalled_at(fs, what, ask):
    """It has been asked this, and does not answer."""
    fs.stall(what)
    ask()
    wait_until(lambda: fs.held, "asked")


def test_others_that_are_slow(site):
    """As many of them as there are threads, but one, do not answer; the last
    one is served as before."""
    last = SLOW_THREADS - 1
    with contextlib.ExitStack() as stack:
        links, mounts = [], []
        for i in range(SLOW_THREADS):
            (site.root / f"mount{i}").mkdir()
            mounts.append(stack.enter_context(mounted(
                site.root / f"mount{i}", {"file": noise(SIZE, i)})))
        for i, fs in enumerate(mounts[:last]):
            asking = [stack.enter_context(site.link()) for _ in range(4)]
            what = (stalling.LOOKUP, stalling.OPEN, stalling.READ)[i % 3]
            stalled_at(fs, what, lambda: asking[0].send(f"/mount{i}/file"))
            for link in asking[1:]:
                link.send(f"/mount{i}/file")
            links += asking
        with site.link() as link:
            link.socket.settimeout(PATIENCE_S / 2)
            for _ in range(3):
                answer = link.ask(f"/mount{last}/file")
                assert answer.body == noise(SIZE, last)
        # Of one that does not answer one job asks; it may read ahead.
        assert all(1 <= len(fs.held) <= 2 for fs in mounts[:last])
        for fs in mounts:
            fs.release()
        for link in links:
            assert link.receive().status == 200
    assert site.web["stalled"] == 0


def test_patience(site):
    """In vain: 503 where nothing was sent, the end otherwise, all in time and
    for no longer than that.  Reading the settings again does not wait either,
    and when the file system is back so are its files."""
    site.known = site.put("known", b"known")
    octets = noise(SIZE)
    (site.root / "mount").mkdir()
    with (mounted(site.root / "mount", {"file": octets}) as fs,
          contextlib.ExitStack() as stack):
        begun = stack.enter_context(site.link())
        begun.socket.settimeout(2 * PATIENCE_S)
        fs.stall(stalling.READ, let=4)
        begun.send("/mount/file")
        assert begun.head().length == SIZE
        wait_until(lambda: fs.held, "asked")
        began = time.monotonic()
        waiting = [stack.enter_context(site.link()) for _ in range(20)]
        for i, link in enumerate(waiting):
            link.socket.settimeout(2 * PATIENCE_S)
            link.send("/mount/file", method="HEAD" if i % 2 else "GET")
        site.daemon.reload()
        others_are_served(site, "fresh")
        got = begun.rest()
        assert len(got) < SIZE and octets.startswith(got)
        for i, link in enumerate(waiting):
            answer = link.receive("HEAD" if i % 2 else "GET")
            assert answer.status == 503
            assert int(answer.get("Retry-After")) > 0
            assert answer.keeps
        assert PATIENCE_S / 2 < time.monotonic() - began < 2 * PATIENCE_S
        assert site.web["stalled"] == 1 + len(waiting)
        assert len(fs.held) <= 2  # one job, that may read ahead
        others_are_served(site, "fresher")
        fs.release()
        for link in waiting:
            assert link.ask("/mount/file").body == octets


def test_stops_all_the_same(site):
    """What is stuck is not waited for; the thread that is ends with it."""
    (site.root / "mount").mkdir()
    with mounted(site.root / "mount", {"file": b"x"}) as fs, site.link() as one:
        stalled_at(fs, stalling.OPEN, lambda: one.send("/mount/file"))
        with site.link() as two:
            two.send("/mount/file")
        site.daemon.signal(signal.SIGTERM)
        wait_until(lambda: "Work did not end in time" in site.daemon.log(),
                   "the end")
        fs.release()
        assert site.daemon.wait() == 1
    site.daemon.close()
    site.start()
