# SPDX-License-Identifier: BSD-2-Clause
"""peerdistctl cache: what people see of the caches and do to them."""

import contextlib
import hashlib
import hmac
import os
import pty
import re
import select
import struct
import subprocess
import time

import pytest

import content
import ipc
from conftest import CTL, DEADLINE, OTHER_UID, as_uid, needs_root

OK, FAILED, USAGE, PERMISSION, LOCKED, PROBLEMS = 0, 1, 2, 4, 5, 7
MINE, ELSE = b"sixteen bytes 01", b"sixteen bytes 02"
MISSING_DATA = 4052
ADMIN_GID = 54321


class Thing:
    """Something to be cached: one segment of version 1."""

    def __init__(self, size=3 * content.BLOCK + 100):
        self.octets = os.urandom(size)
        self.segment = content.Segment(self.octets)
        self.info = content.v1(self.segment)
        self.blocks = len(self.segment.blocks)

    @property
    def id(self):
        return hmac.new(
            self.segment.kp,
            self.segment.hod + "MS_P2P_CACHING\0".encode("utf-16-le"),
            hashlib.sha256).hexdigest()


@contextlib.contextmanager
def client_of(folder, uid=None):
    client = ipc.Client(folder.socket, DEADLINE, uid=uid)
    try:
        yield client
    finally:
        client.close()


def add(folder, thing, tag=MINE, uid=None):
    with client_of(folder, uid) as client:
        handle = client.open_content(thing.info, tag)
        assert client.add(ipc.SUBMIT_DATA_ADD, handle,
                          thing.octets) == (0, 0)


def read(folder, thing, uid=None):
    """Its first block from the cache, or None."""
    with client_of(folder, uid) as client:
        code, _, octets = client.read_cached(
            client.open_content(thing.info), content.BLOCK)
        assert code in (0, MISSING_DATA)
        return octets if code == 0 else None


def cached(folder, thing, uid=None):
    found = read(folder, thing, uid)
    assert found in (None, thing.octets[:content.BLOCK])
    return found is not None


def rows(folder, **kwargs):
    return folder.json("cache", "ls", **kwargs)["segments"]


def ids(folder, **kwargs):
    return [r["id"] for r in rows(folder, **kwargs)]


@pytest.mark.parametrize("args", [
    [], ["nope"], ["show", "x"], ["ls", "x"], ["flush", "x"], ["flush"],
    ["flush", "--content", "12"], ["flush", "--content", "z" * 32],
    ["flush", "--content", MINE.hex() + "00"], ["verify", "x"],
    ["verify", "--nope"], ["set-size"], ["set-size", "data"],
    ["set-size", "other", "1G"], ["set-size", "data", "1G", "x"],
    ["set-size", "data", "1" * 100], ["set-size", "data", "much"],
    ["set-size", "data", "0.5%"], ["set-size", "hash", "101%"],
    ["set-size", "hash", "0%"], ["set-size", "hash", "%"]])
def test_usage(folder, args):
    result = folder.ctl("cache", *args)
    assert (result.code, result.out) == (USAGE, "")
    assert "Usage: peerdistctl" in result.err


def test_show(folder, daemon):
    empty = folder.ctl("cache", "show")
    assert empty.code == OK
    assert re.search(r"data cache  \[\.{30}\] 0\.0 %", empty.out)
    assert "hash cache" in empty.out
    assert "nothing was looked up" in empty.out
    thing = Thing()
    add(folder, thing)
    assert cached(folder, thing)
    assert not cached(folder, Thing())
    document = folder.json("cache", "show")
    store = document["store"]
    assert (store["health"], store["blocks"]) == ("healthy", thing.blocks)
    assert store["disk_bytes"] >= store["bytes"] >= len(thing.octets)
    assert store["max_bytes"] == 64 << 20
    assert store["hits"] >= 1 and store["misses"] >= 1
    assert document["hash"]["entries"] == 0
    shown = folder.ctl("cache", "show").out
    rate = 100 * store["hits"] / (store["hits"] + store["misses"])
    assert f"hit rate      {rate:.1f} %" in shown
    assert f"holds         {thing.blocks} blocks" in shown
    assert shown.count("healthy") == 2
    status = folder.ctl("status").out
    assert "data cache  [" in status and "hash cache  [" in status
    assert folder.status()["store"]["blocks"] == thing.blocks


def test_ls(folder, daemon):
    assert folder.ctl("cache", "ls").out == "nothing is cached\n"
    assert folder.ctl("-q", "cache", "ls").out == ""
    things = [Thing(), Thing(1), Thing(content.BLOCK)]
    for thing in things:
        add(folder, thing)
    found = rows(folder)
    assert [r["id"] for r in found] == sorted(t.id for t in things)
    for thing in things:
        [row] = [r for r in found if r["id"] == thing.id]
        assert row["blocks"] == row["proved"] == thing.blocks
        assert row["bytes"] >= len(thing.octets)
        assert (row["kind"], row["sealed"], row["owners"]) == ("proved", 0, 1)
        assert 0 <= time.time() - row["born"] < 10 * DEADLINE
    shown = folder.ctl("cache", "ls").out.splitlines()
    assert len(shown) == 4
    assert [line.split()[-1] for line in shown[1:]] == sorted(
        t.id for t in things)


def test_partial_information_is_unproved(folder, daemon):
    thing = Thing()
    partial = content.partial(thing.octets, 2, thing.segment.kp)
    with client_of(folder) as client:
        handle = client.open_content(partial, MINE)
        assert client.add(ipc.SUBMIT_DATA_ADD, handle,
                          thing.octets[:2 * content.BLOCK]) == (0, 0)
    [row] = rows(folder)
    assert (row["kind"], row["blocks"], row["proved"]) == ("unproved", 2, 0)


def test_many_segments_come_in_pages(folder, daemon):
    pieces = [struct.pack(">I", i) * 4 for i in range(1005)]
    info = content.v2([content.description2(p) for p in pieces])
    with client_of(folder) as client:
        handle = client.open_content(info, MINE)
        assert client.add(ipc.SUBMIT_DATA_ADD, handle,
                          b"".join(pieces)) == (0, 0)
    found = ids(folder)
    assert len(found) == len(set(found)) == 1005
    assert found == sorted(found)
    assert len(folder.ctl("cache", "ls").out.splitlines()) == 1006


def test_flush_of_a_tag(folder, daemon):
    mine, other, both = Thing(), Thing(), Thing()
    add(folder, mine)
    add(folder, other, ELSE)
    add(folder, both)
    add(folder, both, ELSE)
    result = folder.ctl("cache", "flush", "--content", MINE.hex())
    assert (result.code, result.out) == (OK, "flushed\n")
    assert not cached(folder, mine)
    assert cached(folder, other)
    # Another tag has it, too.
    assert cached(folder, both)
    assert folder.json("cache", "flush", "--content", ELSE.hex()) == {"v": 1}
    assert not cached(folder, other) and not cached(folder, both)
    assert ids(folder) == []


def answered(folder, answer):
    """What `cache flush` does on a terminal where somebody types this."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [CTL, "--socket", folder.socket, "cache", "flush"], stdin=slave,
        stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    with process:
        while b"[y/N] " not in shown:
            shown += os.read(master, 4096)
        os.write(master, answer)
        with contextlib.suppress(OSError):
            while part := os.read(master, 4096):
                shown += part
        code = process.wait(DEADLINE)
    os.close(master)
    return code


def test_flush_of_everything_asks(folder, daemon):
    thing = Thing()
    add(folder, thing)
    assert answered(folder, b"n\n") == FAILED
    assert answered(folder, b"\n") == FAILED
    assert answered(folder, b"\4") == FAILED
    assert cached(folder, thing)
    assert answered(folder, b"y\n") == OK
    assert not cached(folder, thing)
    add(folder, thing)
    assert folder.ctl("--yes", "cache", "flush").out == "flushed\n"
    assert not cached(folder, thing)
    assert folder.json("cache", "show")["store"]["blocks"] == 0


def test_set_size(folder, daemons):
    first = daemons().start()
    document = folder.json("cache", "set-size", "data", "32M")
    assert document["max_bytes"] == 32 << 20
    assert folder.ctl("cache", "set-size", "hash", "3M").code == OK
    shown = folder.json("cache", "show")
    assert shown["store"]["max_bytes"] == 32 << 20
    assert shown["hash"]["max_bytes"] == 3 << 20
    for size in ("", "x", "10Q", "0x10", "1e3"):
        result = folder.ctl("cache", "set-size", "data", size)
        assert result.code == USAGE
        assert "a size is" in result.err
    assert folder.json("cache", "show") == shown
    # A reload and a restart keep it.
    assert folder.ctl("reload").code == OK
    assert folder.json("cache", "show") == shown
    assert first.stop() == 0
    daemons().start()
    assert folder.json("cache", "show")["store"]["max_bytes"] == 32 << 20


def test_size_set_by_policy(folder, daemons):
    folder.policy("[DataCache]\nMaxSize = 48M\n")
    daemons().start()
    result = folder.ctl("cache", "set-size", "data", "32M")
    assert result.code == LOCKED
    assert "policy" in result.err
    assert folder.json("cache", "show")["store"]["max_bytes"] == 48 << 20


def test_less_room_drops_the_oldest(folder, daemon):
    things = [Thing(1 << 20) for _ in range(12)]
    for thing in things:
        add(folder, thing)
    assert len(ids(folder)) == len(things)
    assert folder.ctl("cache", "set-size", "data", "8M").code == OK
    end = time.monotonic() + DEADLINE
    while (store := folder.json("cache", "show")["store"])["evicted"] == 0:
        assert time.monotonic() < end, store
        select.select([], [], [], 0.05)
    assert cached(folder, things[-1]) and not cached(folder, things[0])
    assert things[0].id not in ids(folder)


def test_verify(folder, daemon):
    assert "no problems" in folder.ctl("cache", "verify").out
    things = [Thing() for _ in range(3)]
    for thing in things:
        add(folder, thing)
    for args in (["verify"], ["verify", "--repair"]):
        document = folder.json("cache", *args)
        assert document["blocks"] == sum(t.blocks for t in things)
        assert document["bytes"] >= sum(len(t.octets) for t in things)
        assert document["repaired"] == ("--repair" in args)
        assert [document[k] for k in
                ("rotten", "dangling", "damaged_volumes")] == [0, 0, 0]
    assert all(cached(folder, t) for t in things)


def volumes(folder):
    return sorted(folder.path.rglob("*.vol"))


def test_verify_finds_damage(folder, daemons):
    first = daemons().start()
    thing, other = Thing(), Thing()
    add(folder, thing)
    assert first.stop() == 0
    [volume] = volumes(folder)
    with open(volume, "r+b") as file:
        # In the middle of the ciphertext of some block.
        size = volume.stat().st_size
        file.seek(size // 2)
        octet = file.read(1)[0]
        file.seek(size // 2)
        file.write(bytes([octet ^ 1]))
    daemons().start()
    add(folder, other)
    found = folder.ctl("--json", "cache", "verify")
    assert found.code == PROBLEMS
    assert found.json["rotten"] == 1
    assert found.json["blocks"] == thing.blocks + other.blocks
    # Only looked at: it is still there.
    again = folder.ctl("cache", "verify")
    assert again.code == PROBLEMS
    assert re.search(r"damaged blocks +1\n", again.out)
    assert "--repair" in again.out
    repaired = folder.ctl("cache", "verify", "--repair")
    assert repaired.code == PROBLEMS
    assert "removed" in repaired.out
    clean = folder.ctl("--json", "cache", "verify")
    assert clean.code == OK
    assert clean.json["blocks"] == thing.blocks + other.blocks - 1
    assert cached(folder, other)


def test_restart(folder, daemons):
    first = daemons().start()
    thing, dropped = Thing(), Thing()
    add(folder, thing)
    add(folder, dropped, ELSE)
    assert folder.ctl("cache", "flush", "--content", ELSE.hex()).code == OK
    before = rows(folder)
    assert first.stop() == 0
    second = daemons().start()
    assert rows(folder) == before
    assert cached(folder, thing) and not cached(folder, dropped)
    assert folder.ctl("cache", "verify").code == OK
    # A flush is durable when it is answered.
    add(folder, dropped)
    assert folder.ctl("cache", "flush", "--content", MINE.hex()).code == OK
    second.process.kill()
    second.wait()
    daemons().start()
    assert rows(folder) == []
    assert not cached(folder, thing)


def test_check_ends_with_its_client(folder, daemon):
    for _ in range(8):
        add(folder, Thing(1 << 20))
    client = ipc.Client(folder.socket, DEADLINE, session=False)
    client.send(70, 1, ipc.u(1, 4))
    client.close()
    # The next one is not kept waiting for the first for ever.
    end = time.monotonic() + DEADLINE
    while folder.ctl("cache", "verify").code != OK:
        assert time.monotonic() < end
    assert daemon.stop() == 0


@needs_root
def test_two_users(folder, daemons):
    folder.write(Access__AdminGroup=ADMIN_GID)
    daemons().start()
    other = as_uid(OTHER_UID)
    admin = as_uid(OTHER_UID, ADMIN_GID)
    mine, his, both = Thing(), Thing(), Thing()
    add(folder, mine)
    add(folder, his, uid=OTHER_UID)
    add(folder, both)
    # Only the beginning of it.
    with client_of(folder, OTHER_UID) as client:
        handle = client.open_content(both.info, MINE)
        assert client.add(ipc.SUBMIT_DATA_ADD, handle,
                          both.octets[:content.BLOCK]) == (0, 0)
    everything = sorted(t.id for t in (mine, his, both))
    assert ids(folder) == ids(folder, prefix=admin) == everything
    [shared] = [r for r in rows(folder) if r["id"] == both.id]
    assert shared["owners"] == 2
    listed = rows(folder, prefix=other)
    assert [r["id"] for r in listed] == sorted([his.id, both.id])
    assert all("owners" not in r for r in listed)
    # That others have more of it is not his business.
    assert {r["id"]: r["blocks"] for r in listed} == {
        his.id: his.blocks, both.id: 1}
    assert shared["blocks"] == both.blocks
    shown = folder.ctl("cache", "ls", prefix=other)
    assert mine.id not in shown.out
    assert folder.ctl("cache", "show", prefix=other).code == OK
    for args in (["cache", "verify"], ["--yes", "cache", "flush"],
                 ["cache", "set-size", "data", "1G"]):
        result = folder.ctl(*args, prefix=other)
        assert (result.code, result.out) == (PERMISSION, "")
    assert folder.ctl("cache", "verify", prefix=admin).code == OK
    # The tag is his; the same tag of another user is another one.
    assert folder.ctl("cache", "flush", "--content", MINE.hex(),
                      prefix=other).code == OK
    assert rows(folder, prefix=other) == []
    assert ids(folder) == sorted([mine.id, both.id])
    assert cached(folder, both) and not cached(folder, his)
    [shared] = [r for r in rows(folder) if r["id"] == both.id]
    assert shared["owners"] == 1


@needs_root
def test_flush_needs_the_right_to_use_the_cache(folder, daemons):
    folder.write(Access__ClientGroups=str(ADMIN_GID))
    daemons().start()
    args = ["cache", "flush", "--content", MINE.hex()]
    assert folder.ctl(*args, prefix=as_uid(OTHER_UID)).code == LOCKED
    assert folder.ctl(*args, prefix=as_uid(OTHER_UID, ADMIN_GID)).code == OK
