# SPDX-License-Identifier: BSD-2-Clause
"""A daemon under attack: somebody well-behaved works on it all the time, and
what it holds is compared before and after."""

import contextlib
import os
import select
import threading
import time
import traceback

import content
import ipc
from conftest import DEADLINE, OTHER_UID
from pace import Stopwatch

SAN = bool(os.environ.get("SAN"))
MISSING_DATA = 4052
# Of one round of the witness: some thirty frames both ways.
ROUND_MOST = 10 if SAN else 3
# Memory that a daemon may have more than before: allocators keep some.
GROWTH_MOST = (400 if SAN else 40) << 20


class Witness(threading.Thread):
    """The second client: uses every part of the service, round after round,
    and takes note when something is wrong or late."""

    def __init__(self, path, waits):
        super().__init__(daemon=True)
        self.waits = waits
        self.client = ipc.Client(path, DEADLINE, name="witness")
        self.octets = os.urandom(3 * content.BLOCK + 100)
        segment = content.Segment(self.octets)
        self.info = content.v1(segment)
        self.kp = segment.kp
        self.handle = self.client.open_content(self.info, b"witness's tag 16")
        assert self.client.add(ipc.SUBMIT_DATA_ADD, self.handle,
                               self.octets) == (0, 0)
        self.nowhere = self.client.open_content(content.v1(
            content.Segment(b"nowhere")))
        self.client.publish(b"witness", self.octets)
        self.published = self.client.information(b"witness")
        self.going = True
        self.rounds = 0
        self.slowest = 0
        self.fault = None
        self.news = threading.Condition()

    def round(self):
        c = self.client
        assert c.call(ipc.STATUS_GET)[3] == 2
        for at in (0, content.BLOCK, 3 * content.BLOCK):
            found = c.read_cached(self.handle, content.BLOCK, at)
            assert found == (0, at, self.octets[at:at + content.BLOCK])
        first = self.octets[:content.BLOCK]
        assert c.add(ipc.SUBMIT_DATA_ADD, self.handle, first) == (0, 0)
        assert c.information(b"witness") == self.published
        if not self.waits:
            return
        pending = c.read(self.nowhere)
        c.send(ipc.CLIENT_CANCEL, 1, ipc.fixed(1, self.nowhere) +
               ipc.fixed(2, pending))
        assert c.complete() == (pending, ipc.ABORTED)
        assert c.expect(ipc.REPLY) == (1, {})

    def run(self):
        while self.going and self.fault is None:
            watch = Stopwatch(self.client.server)
            try:
                self.round()
            except BaseException:  # told by check()
                self.fault = traceback.format_exc()
            with self.news:
                self.slowest = max(self.slowest, watch.read())
                self.rounds += 1
                self.news.notify_all()

    def check(self):
        """Two more rounds end in time: one of them began after this."""
        with self.news:
            want = self.rounds + 2
            self.news.wait_for(
                lambda: self.fault is not None or self.rounds >= want,
                2 * DEADLINE)
            assert self.fault is None, self.fault
            assert self.rounds >= want, "the second client hangs"
            assert self.slowest < ROUND_MOST, self.slowest

    def stop(self):
        self.going = False
        self.join(DEADLINE)
        self.client.close()


class Scene:
    def __init__(self, folder, daemon, waits=True):
        """waits: peers let reads wait for ever."""
        self.folder = folder
        self.daemon = daemon
        self.pid = daemon.process.pid
        self.clients = []
        # What is made once and kept is not a leak.
        self.witness = Witness(folder.socket, waits)
        self.witness.start()
        self.witness.check()
        self.witness.stop()
        self.admin = ipc.Client(folder.socket, DEADLINE, session=False)
        self.before = self.settled()
        self.memory = self.rss()
        self.witness = Witness(folder.socket, waits)
        self.witness.start()

    def client(self, **kwargs):
        client = ipc.Client(self.folder.socket, DEADLINE, **kwargs)
        self.clients.append(client)
        return client

    def raw(self, octets=b"", fds=()):
        """Not greeted."""
        client = self.client(greet=False)
        if octets:
            client.raw(octets, fds)
        return client

    def refused(self, octets, fds=(), session=True):
        """These bytes end the connection."""
        client = self.client(session=session)
        try:
            client.raw(octets, fds)
        except BrokenPipeError:
            pass
        client.drain()
        client.close()

    # What the daemon holds.

    def rss(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) << 10
        raise AssertionError("no RssAnon")

    def grown(self):
        return self.rss() - self.memory

    def descriptors(self):
        """Without connections to peers, which are kept for a while, and without
        volumes."""
        # Not readable for others than root.
        if os.geteuid() != 0:
            return 0
        with open(f"/proc/{self.pid}/net/unix", encoding="utf-8") as lines:
            named = {f"socket:[{line.split()[6]}]" for line in lines
                     if str(self.folder.path) in line}
        links = self.links()
        own = [link for link in links if link in named or
               not link.startswith("socket:") and not link.endswith(".vol")]
        assert len(links) - len(own) < 32
        return len(own)

    def links(self):
        """What its descriptors are."""
        found = []
        with os.scandir(f"/proc/{self.pid}/fd") as entries:
            for entry in entries:
                # It may be closed by now.
                with contextlib.suppress(FileNotFoundError):
                    found.append(os.readlink(entry.path))
        return sorted(found)

    def areas(self):
        if os.geteuid() != 0:
            return 0
        with open(f"/proc/{self.pid}/maps", encoding="utf-8") as lines:
            return sum("peerdist-area" in line for line in lines)

    def status(self, uid=None):
        client = ipc.Client(self.folder.socket, DEADLINE, session=False,
                            uid=uid)
        try:
            return client.admin(ipc.ADMIN_STATUS)
        finally:
            client.close()

    def used(self, uid=None):
        return {q["name"]: q["used"] for q in self.status(uid)["quotas"]}

    def holds(self):
        status = self.admin.admin(ipc.ADMIN_STATUS)
        held = {"clients": status["clients"],
                "fetches": status["counters"]["fetches_running"],
                "descriptors": self.descriptors(), "areas": self.areas()}
        held.update((q["name"], q["used"]) for q in status["quotas"])
        return held

    def settled(self, wanted=None):
        """What it holds when it holds no more than that; at first, when two
        looks agree."""
        held = None
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            last = held
            held = self.holds()
            # The areas go by themselves, after their sessions.
            if (held == (wanted or last) and held["sessions"] == 0 and
                    (wanted or held["areas"] == 0)):
                return held
            select.select([], [], [], 0.005)
        raise AssertionError(f"{held} is not {wanted}: {self.links()}")

    def calm(self):
        self.witness.check()

    def finish(self):
        self.calm()
        self.witness.stop()
        for client in self.clients:
            client.close()
        self.settled(self.before)
        self.admin.close()
        status = self.folder.status()
        counters = status["counters"]
        assert counters["operations_started"] == (
            counters["operations_finished"] +
            counters["operations_abandoned"])
        if os.geteuid() == 0:
            used = self.used(OTHER_UID)
            assert used.pop("connections") == 1
            assert not any(used.values())
        assert self.grown() - status["store"]["bytes"] < GROWTH_MOST
        assert self.daemon.stop() == 0
        return counters


def blocks_of(client, handle, size):
    """What a reader gets of each block: bytes, or None."""
    found = []
    for at in range(0, size, content.BLOCK):
        code, offset, octets = client.read_cached(
            handle, min(content.BLOCK, size - at), at)
        # What is missing begins with its block.
        assert (code, offset) == (0, at) or (
            code == MISSING_DATA and offset <= at)
        found.append(octets if code == 0 else None)
    return found
