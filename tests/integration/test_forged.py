# SPDX-License-Identifier: BSD-2-Clause
"""Forged block hashes under a true HoD and secret, which only the description
of a part of a segment can have, since nothing proves it: the forger reads his
own bytes, nobody else does, and no peer is blamed for what does not match."""

import random
import subprocess
import sys
import time
import select

import pytest

import content
import ipc
from conftest import DEADLINE, OTHER_UID, ROOT, needs_root, temporary_folder
from ipc import fixed, u

sys.path.append(str(ROOT / "tests/crash"))

import world  # noqa: E402

BLOCK = content.BLOCK
pytestmark = needs_root


class Forgery:
    """A true content, and descriptions of its first blocks with wrong hashes."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.octets = rng.randbytes(5 * BLOCK + 77)
        self.kp = rng.randbytes(32)
        self.hod = content.Segment(self.octets).hod
        self.whole = world.content1("whole", self.octets, self.kp)
        self.part = world.content1("part", self.octets, self.kp, 2)
        self.rng = rng

    def forge(self, name):
        octets = self.rng.randbytes(len(self.octets))
        info = content.v1(content.Segment(
            octets, kp=self.kp, hod=self.hod,
            blocks=content.hashes(octets)[:2]), last=2 * BLOCK)
        return world.Content(name, octets, info, [BLOCK] * 2,
                             [name.encode()] * 2)


class Peer:
    """One that has the true content."""

    def __init__(self, path, forgery):
        (path / "content").write_bytes(forgery.octets)
        (path / "ci").write_bytes(forgery.whole.info)
        self.port = path / "port"
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/integration/fake_peer.py"),
             "--port-file", str(self.port), "--content",
             str(path / "content"), "--ci", str(path / "ci")])

    @property
    def address(self):
        end = time.monotonic() + DEADLINE
        while not self.port.exists():
            assert self.process.poll() is None and time.monotonic() < end
            select.select([], [], [], 0.005)
        return "127.0.0.1:" + self.port.read_text().strip()

    def close(self):
        self.process.terminate()
        self.process.wait(DEADLINE)


class Scene:
    def __init__(self, path, **settings):
        self.place = world.Place(path, **settings)
        self.life = None
        self.clients = []

    def start(self):
        self.life = world.Life(self.place).start()
        return self

    def client(self, uid=None):
        self.clients.append(world.Client(self.place.socket, uid))
        return self.clients[-1]

    def stop(self):
        for client in self.clients:
            client.close()
        self.clients.clear()
        assert self.life.stop() == 0
        self.life.close(quiet=True)

    def restart(self):
        self.stop()
        self.start()


@pytest.fixture
def scene():
    with temporary_folder() as path:
        made = Scene(path)
        try:
            yield made.start()
        finally:
            made.life.close(quiet=True)


def add(client, what, tag=bytes(16)):
    return client.add(ipc.SUBMIT_DATA_ADD, client.handle(what, tag),
                      what.octets[:sum(what.units[-1])])


def reads(client, what):
    """What of it is read, each as it is described."""
    return [octets if octets is None else octets == what.unit(i)
            for i, octets in enumerate(client.read_units(what))]


def test_forger_alone_reads_it(scene):
    forgery = Forgery(1)
    forged = forgery.forge("forged")
    thief, victim = scene.client(OTHER_UID), scene.client()
    assert add(thief, forged) == (0, 0)
    for _ in range(2):
        assert reads(thief, forged) == [True] * 2
        assert reads(victim, forgery.whole) == [None] * 6
        assert reads(victim, forgery.part) == [None] * 2
        assert reads(thief, forgery.part) == [None] * 2
        scene.restart()
        thief, victim = scene.client(OTHER_UID), scene.client()
    # The true ones live beside them, whoever came first.
    assert add(victim, forgery.whole) == (0, 0)
    for _ in range(2):
        assert reads(victim, forgery.whole) == [True] * 6
        assert reads(victim, forgery.part) == [True] * 2
        assert reads(thief, forged) == [True] * 2
        scene.restart()
        thief, victim = scene.client(OTHER_UID), scene.client()
    assert victim.verify()["rotten"] == 0
    assert victim.store()["rotten"] == 0
    scene.stop()


def test_forger_takes_nothing_away(scene):
    forgery = Forgery(2)
    victim = scene.client()
    tag = b"one tag".ljust(16)
    assert add(victim, forgery.part, tag) == (0, 0)
    assert add(victim, forgery.whole, tag) == (0, 0)
    thief = scene.client(OTHER_UID)
    forged = [forgery.forge(f"forged {i}") for i in range(12)]
    for what in forged:
        assert add(thief, what, tag) == (0, 0)
        assert reads(thief, what) == [True] * 2
        assert reads(victim, forgery.whole) == [True] * 6
    # Of his own, the oldest go, at the latest when they are made durable.
    assert sum(None not in reads(thief, what) for what in forged) >= 4
    scene.restart()
    thief, victim = scene.client(OTHER_UID), scene.client()
    assert reads(victim, forgery.whole) == [True] * 6
    assert sum(None not in reads(thief, what) for what in forged) == 4
    assert thief.flush(tag) == 0
    assert not [what for what in forged if any(reads(thief, what))]
    assert reads(victim, forgery.whole) == [True] * 6
    scene.stop()


def test_true_blocks_do_not_pass_for_forged(scene):
    """Nor are they taken for damaged ones when they are read as something
    else."""
    forgery = Forgery(3)
    victim, thief = scene.client(), scene.client(OTHER_UID)
    assert add(victim, forgery.whole) == (0, 0)
    forged = forgery.forge("forged")
    for _ in range(3):
        assert reads(thief, forged) == [None] * 2
    handle = thief.handle(forged)
    assert thief.add(ipc.SUBMIT_DATA_ADD, handle,
                     forgery.octets[:2 * BLOCK])[1] == 13
    assert reads(victim, forgery.whole) == [True] * 6
    assert scene.client().store()["rotten"] == 0
    scene.stop()


@pytest.fixture
def peer_scene():
    with temporary_folder() as path:
        forgery = Forgery(4)
        peer = Peer(path, forgery)
        made = Scene(path, Service__Mode="distributed",
                     Retrieval__Peers=peer.address,
                     Retrieval__PeerStrikes=1)
        try:
            yield made.start(), forgery
        finally:
            made.life.close(quiet=True)
            peer.close()


def strikes(scene):
    return [peer["strikes"] for peer in scene.place.status()["peers"]]


def test_no_strike_for_the_peer(peer_scene):
    scene, forgery = peer_scene
    thief, victim = scene.client(OTHER_UID), scene.client()
    for i in range(3):
        forged = forgery.forge(f"forged {i}")
        for at in (0, BLOCK):
            number = thief.submit(
                ipc.SUBMIT_BLOCK_READ, fixed(1, thief.handle(forged)) +
                u(2, at) + u(3, BLOCK) + u(4, 300))
            assert thief.result(number)[0] != 0
    assert set(strikes(scene)) <= {0}
    # One strike would be enough to leave the peer alone.
    for at, length in forgery.whole.units:
        number = victim.submit(
            ipc.SUBMIT_BLOCK_READ, fixed(1, victim.handle(forgery.whole)) +
            u(2, at) + u(3, length) + u(4, 1000 * DEADLINE))
        code, offset, octets = victim.result(number)
        assert (code, offset) == (0, at)
        assert octets == forgery.octets[at:at + length]
    assert set(strikes(scene)) <= {0}
    assert scene.place.status()["counters"]["peer_blocks"] == 6
    scene.stop()
