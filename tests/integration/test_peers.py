# SPDX-License-Identifier: BSD-2-Clause
"""A branch of real daemons, each on a host of its own: who gets what from
whom, and what happens when hosts, interfaces and modes change meanwhile."""

import base64
import ipaddress
import re
import threading

import pytest

import ipc
from conftest import DEADLINE, Daemon, Folder
from lab import (BLOCK, GROUP_4, GROUP_6, MISSING_DATA, PROBE_PORT, TIMEOUT,
                 lab_of, make, needs_lab, needs_tap, wait_until)
from pace import Stopwatch

pytestmark = needs_lab
NOT_FOUND = 6
# Longer than a busy machine needs to answer; who finds nobody waits for it.
PATIENT = {"Discovery__ProbeTimeout": "1s"}
HASTY = {"Discovery__ProbeTimeout": "300ms"}


def sources(host, what):
    """Blocks by the address that they came from, as `explain` has it."""
    found = {}
    for segment in host.explain(what)["segments"]:
        for source in segment["history"]["sources"]:
            name = source["address"].rpartition(":")[0].strip("[]")
            found[name] = found.get(name, 0) + source["blocks"]
    return found


def of(host, lan=0):
    """Its addresses, as they are printed."""
    return {host.v4(lan), host.v6(lan)}


# Five hosts.

class Branch:
    """The first host has everything from the origin, the second from the
    first; of a content more, each of both has the half.  The fifth host is in
    local mode."""

    def __init__(self, lab):
        self.lab = lab
        self.first, self.second, self.third, self.fourth, self.fifth = lab.hosts
        self.watch = lab.watch()
        self.whole = {v: make(11 * BLOCK + 5, v) for v in (1, 2)}
        self.halves = {v: make(12 * BLOCK, v) for v in (1, 2)}
        lab.start(*lab.hosts[:4], **PATIENT)
        self.fifth.start(Service__Mode="local")
        self.from_origin = {}
        readers = [(v, host, host.reader()) for v in (1, 2)
                   for host in (self.first, self.second)]
        for version, host, reader in readers:
            self.from_origin[host, version] = reader.fetch(
                self.whole[version])
        for what in self.halves.values():
            self.first.gives(what, range(0, 12, 2))
            self.second.gives(what, range(1, 12, 2))

    @property
    def contents(self):
        return [*self.whole.values(), *self.halves.values()]


@pytest.fixture(scope="module")
def branch():
    with lab_of(5) as lab:
        yield Branch(lab)


@pytest.mark.parametrize("version", [1, 2])
def test_first_has_nobody(branch, version):
    what = branch.whole[version]
    assert branch.from_origin[branch.first, version] == len(what.octets)
    told = branch.first.explain(what)
    assert told["bytes"]["application"] == len(what.octets)
    assert told["bytes"]["peers"] == told["bytes"]["missing"] == 0
    assert sources(branch.first, what) == {}


@pytest.mark.parametrize("version", [1, 2])
def test_second_has_peers_only(branch, version):
    what = branch.whole[version]
    assert branch.from_origin[branch.second, version] == 0
    told = branch.second.explain(what)
    assert told["bytes"]["peers"] == len(what.octets)
    assert told["bytes"]["missing"] == told["bytes"]["application"] == 0
    found = sources(branch.second, what)
    assert set(found) <= of(branch.first)
    assert sum(found.values()) == len(what.units)


@pytest.mark.parametrize("version", [1, 2])
def test_third_needs_both(branch, version):
    what = branch.halves[version]
    third = branch.third
    assert third.reader().fetch(what) == 0
    found = sources(third, what)
    for host in (branch.first, branch.second):
        assert sum(found.get(a, 0) for a in of(host)) == 6
    # All are asked who have it; one gave it.
    assert third.reader().fetch(branch.whole[version]) == 0
    assert set(sources(third, branch.whole[version])) <= (
        of(branch.first) | of(branch.second))


def test_fourth_sees_who_has_it(branch):
    fourth = branch.fourth
    for version, what in branch.halves.items():
        ident = what.keys[0][0].hex()
        found = fourth.folder.json("probe", ident, "--version", version)
        assert found["state"] == "found"
        rows = {row["address"].rpartition(":")[0].strip("[]"): row
                for row in found["peers"]}
        assert rows.keys() & of(branch.first)
        assert all(row["blocks"] == (6 if version == 1 else row["blocks"])
                   for a, row in rows.items() if a in of(branch.first))
        assert fourth.folder.ctl("probe", ident).code == 0
    nobody = fourth.folder.ctl("probe", "3f" * 32)
    assert nobody.code == NOT_FOUND


def test_fifth_is_alone(branch):
    """In local mode nothing is asked and nothing is answered."""
    fifth = branch.fifth
    what = branch.whole[1]
    branch.watch.packets()
    codes = fifth.reader().read_units(what)
    assert set(codes) == {MISSING_DATA}
    assert not [p for p in branch.watch.packets()
                if p.source == fifth.v4() and (p.is_probe or p.opens)]
    assert {s["reason"] for s in fifth.explain(what)["segments"]} == {"mode"}
    assert fifth.status["discovery"]["running"] is False


def test_counts(branch):
    first, second = branch.first, branch.second
    row = second.peers
    assert sum(r["blocks"] for a, r in row.items() if a in of(first)) >= sum(
        len(w.units) for w in branch.whole.values())
    assert all(r["strikes"] == r["quarantine_ms"] == r["bad"] == 0
               for r in row.values())
    status = first.status
    assert status["mode"] == "distributed"
    assert status["discovery"]["interfaces"] == ["eth0"]
    assert status["uploads"]["running"] == 0
    assert status["uploads"]["bytes"] >= sum(
        len(w.octets) for w in branch.whole.values())
    port, = [row["port"] for row in status["listeners"]
             if row["name"] == "retrieval"]
    assert port == 80
    shown = first.folder.ctl("status").out
    assert "distributed" in shown and "eth0" in shown
    assert re.search(rf"{re.escape(first.v4())}:80|{first.v6()}",
                     second.folder.ctl("peers", "ls").out)


def test_nothing_secret_on_the_wire():
    """Nor more than is allowed: a Probe twice, one hop, to both groups."""
    with lab_of(2) as lab:
        watch = lab.watch()
        first, second = lab.start(**PATIENT).hosts
        several = [first.gives(make(6 * BLOCK + 7, v)) for v in (1, 2)]
        nobody = make(100)
        for what in several:
            assert second.reader().fetch(what) == 0
        assert second.reader().read_units(nobody) == [MISSING_DATA]
        packets = watch.packets()
    payload = b"".join(p.payload for p in packets)
    assert len(payload) > sum(len(w.octets) for w in several)
    for what in [*several, nobody]:
        for octets in what.private:
            assert octets not in payload
            assert octets.hex().upper().encode() not in payload
            assert base64.b64encode(octets) not in payload
        for at, _ in what.units[:-1]:
            assert what.octets[at:at + 32] not in payload
    probes = [p for p in packets if p.is_probe]
    assert {p.target for p in probes} == {GROUP_4, GROUP_6}
    assert {p.hops for p in probes} == {1}
    assert all(len(p.payload) <= 1400 for p in probes)
    seen = {}
    for p in probes:
        seen[p.target, p.payload] = seen.get((p.target, p.payload), 0) + 1
    assert max(seen.values()) == 2
    # What nobody answered was asked again.
    asked = [n for (_, octets), n in seen.items()
             if nobody.ids[0].hex().upper().encode() in octets]
    assert asked == [2, 2]


def test_all_at_once():
    """Four want the same at the same time; one has it."""
    with lab_of(5) as lab:
        first, *others = lab.start(**PATIENT).hosts
        several = [first.gives(make(24 * BLOCK, v)) for v in (1, 2)]
        from_origin, readers = [], [host.reader() for host in others]

        def fetch(reader):
            for what in several:
                from_origin.append(reader.fetch(what))

        threads = [threading.Thread(target=fetch, args=(reader,))
                   for reader in readers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * DEADLINE)
        assert from_origin == [0] * 8
        for host in others:
            for what in several:
                assert host.explain(what)["bytes"]["peers"] == len(what.octets)
        assert all(host.status["uploads"]["running"] == 0
                   for host in lab.hosts)


@pytest.mark.parametrize("version", [1, 2])
def test_read_as_a_stream(version):
    """More than a segment of version 1, with all the blocks that one can have;
    what is ahead is fetched before it is asked for."""
    with lab_of(3) as lab:
        first, second, third = lab.start(**PATIENT).hosts
        what = first.gives(make((32 << 20) + 3 * BLOCK + 5, version))
        second.reader().stream(what)
        assert second.explain(what)["bytes"]["peers"] == len(what.octets)
        # As it was given to the second, from either.
        third.reader().stream(what, 1 << 20)
        assert third.explain(what)["bytes"]["peers"] == len(what.octets)
        assert third.status["counters"]["peer_bad"] == 0


# Other networks.

@pytest.mark.parametrize("ula", [True, False])
def test_ipv6_only(ula):
    """The second time with link-local addresses only."""
    with lab_of(3, ipv4=False, ipv6=ula) as lab:
        first, second, third = lab.start(**PATIENT).hosts
        for version in (1, 2):
            what = first.gives(make(5 * BLOCK + 1, version))
            for host in (second, third):
                assert host.reader().fetch(what) == 0
                addresses = [ipaddress.ip_address(a)
                             for a in sources(host, what)]
                assert addresses
                assert all(a.version == 6 for a in addresses)
                assert all(a.is_link_local != ula for a in addresses)


def test_two_interfaces():
    """A host between two networks has what both have, and passes it on by
    addresses that can be reached from there."""
    with lab_of(lans=[(0,), (0, 1), (1,), (1,)]) as lab:
        left, middle, right, other = lab.start(**PATIENT).hosts
        assert middle.status["discovery"]["interfaces"] == ["eth0", "eth1"]
        for version in (1, 2):
            what = left.gives(make(5 * BLOCK, version))
            assert middle.reader().fetch(what) == 0
            assert set(sources(middle, what)) <= of(left, 0)
            assert right.reader().fetch(what) == 0
            assert set(sources(right, what)) <= of(middle, 1)
            back = other.gives(make(BLOCK, version))
            assert middle.reader().fetch(back) == 0
            assert set(sources(middle, back)) <= of(other, 1)
        # One of them is not to be used any more.
        middle.folder.write(Network__Interfaces="eth0")
        middle.daemon.reload()
        assert middle.status["discovery"]["interfaces"] == ["eth0"]
        joined = groups(middle)
        assert ("eth0", GROUP_4) in joined and ("eth1", GROUP_4) not in joined
        assert ("eth0", GROUP_6) in joined and ("eth1", GROUP_6) not in joined
        what = middle.gives(make(BLOCK))
        assert right.reader().read_units(what) == [MISSING_DATA]
        assert left.reader().fetch(what) == 0


def groups(host):
    """Interface and group, of all that are joined."""
    found, name = set(), None
    for line in host.net.read("igmp").splitlines()[1:]:
        words = line.split()
        if not line.startswith("\t"):
            name = words[1]
        else:
            found.add((name, str(ipaddress.ip_address(
                bytes.fromhex(words[0])[::-1]))))
    for line in host.net.read("igmp6").splitlines():
        words = line.split()
        found.add((words[1], str(ipaddress.ip_address(
            bytes.fromhex(words[2])))))
    return found


def ports(host, table):
    """Local ports of sockets that listen, or are bound."""
    rows = [line.split() for line in host.net.read(table).splitlines()[1:]]
    listening = "0A"
    return {int(row[1].rpartition(":")[2], 16) for row in rows
            if table.startswith("udp") or row[3] == listening}


def is_open(host):
    joined = {g for name, g in groups(host) if name == "eth0"}
    return [GROUP_4 in joined, GROUP_6 in joined,
            PROBE_PORT in ports(host, "udp"),
            PROBE_PORT in ports(host, "udp6"), 80 in ports(host, "tcp6")]


def test_mode_is_switched():
    with lab_of(2) as lab:
        first, second = lab.start(Discovery__ProbeTimeout="10s").hosts
        assert is_open(second) == [True] * 5
        what = first.gives(make(3 * BLOCK))
        assert second.reader().fetch(what) == 0
        # What waits for others ends.
        reader = second.reader()
        nobodys = [make(BLOCK), make(5 * BLOCK, 2)]
        handles = [reader.open_content(n.info) for n in nobodys]
        waiting = [reader.read(h, 1000 * DEADLINE) for h in handles]
        watch = Stopwatch(reader.server)
        assert second.folder.json("mode", "set", "local")["mode"] == "local"
        ends = dict([reader.complete(), reader.complete()])
        assert ends == dict.fromkeys(waiting, MISSING_DATA)
        assert watch.read() < 5
        assert is_open(second) == [False] * 5
        assert second.status["discovery"]["running"] is False
        # Nobody hears of it, and it hears of nobody.
        mine = second.gives(make(BLOCK))
        assert first.reader().read_units(mine, 500) == [TIMEOUT]
        what = first.gives(make(3 * BLOCK, 2))
        assert set(second.reader().read_units(what)) == {MISSING_DATA}
        # And back, this time by the settings' file.
        second.folder.ctl("mode", "set", "distributed")
        assert is_open(second) == [True] * 5
        second.daemon.reload()
        assert is_open(second) == [True] * 5
        assert second.reader().fetch(what) == 0
        mine = second.gives(make(BLOCK))
        assert first.reader().fetch(mine) == 0
        second.folder.policy("[Service]\nEnable = no\n")
        second.daemon.reload()
        assert is_open(second) == [False] * 5


def test_interface_goes_and_comes():
    with lab_of(2) as lab:
        first, second = lab.start(**HASTY).hosts
        assert second.reader().fetch(first.gives(make(BLOCK))) == 0
        first.down()
        wait_until(lambda: first.status["discovery"]["interfaces"] == [],
                   "the interface is gone")
        lost = first.gives(make(5 * BLOCK))
        assert set(second.reader().read_units(lost)) == {MISSING_DATA}
        first.up()
        wait_until(lambda: first.status["discovery"]["asks_ipv6"] == 1 and
                   first.status["discovery"]["asks_ipv4"] == 1,
                   "the interface is back")
        for version in (1, 2):
            what = first.gives(make(5 * BLOCK, version))
            assert second.reader().fetch(what) == 0
            mine = second.gives(make(BLOCK, version))
            assert first.reader().fetch(mine) == 0


def test_interface_is_new():
    """One that comes, and one that is taken away for good."""
    with lab_of(2) as lab:
        first, second = lab.start(**HASTY).hosts
        second.net.ip("link add eth1 type veth peer name other",
                      "link set other up", "link set eth1 up",
                      "addr add 10.99.0.1/24 dev eth1")
        wait_until(lambda: ("eth1", GROUP_4) in groups(second) and
                   ("eth1", GROUP_6) in groups(second), "it is found")
        second.net.ip("link del eth1")
        wait_until(lambda: second.status["discovery"]["interfaces"] ==
                   ["eth0"], "it is gone")
        assert second.reader().fetch(first.gives(make(BLOCK))) == 0


def test_two_daemons_of_one_host():
    with lab_of(1) as lab:
        host, = lab.start(**PATIENT).hosts
        path = host.path / "other"
        path.mkdir()
        folder = Folder(path)
        folder.write(**{"Service__Mode": "distributed",
                        "Network__Interfaces": "all",
                        "Network__RetrievalListen": "[::]:0", **PATIENT})
        other = Daemon(folder, prefix=host.net.prefix)
        try:
            other.start()
            for version in (1, 2):
                what = host.gives(make(5 * BLOCK, version))
                client = type(host.reader())(folder.socket, DEADLINE)
                assert client.fetch(what) == 0
                client.close()
            rows = folder.json("peers", "ls")["peers"]
            assert rows
            assert all(row["address"].endswith(":80") for row in rows)
            # Itself is nobody's peer.
            assert host.reader().read_units(make(BLOCK)) == [MISSING_DATA]
            assert host.peers == {}
        finally:
            other.close()


def test_who_may_ask():
    with lab_of(3) as lab:
        first, second, third = lab.hosts
        first.start(Network__AllowPeers=f"{second.v4()} {second.v6()} "
                    "fe80::/10", **HASTY)
        lab.start(second, third, **HASTY)
        what = first.gives(make(BLOCK))
        assert second.reader().fetch(what) == 0
        second.kill()
        assert third.reader().read_units(what) == [MISSING_DATA]
        assert first.status["uploads"]["bytes"] < 2 * BLOCK


# Many at once.

@pytest.mark.parametrize("version", [1, 2])
def test_flash_crowd(version):
    """Three others ask for the same: an application had better wait.  Where
    nobody is asked, nobody is heard."""
    with lab_of(5) as lab:
        first, *others, alone = lab.hosts
        lab.start(first, *others, **HASTY)
        alone.start(Service__Mode="local")
        what = make(2 * BLOCK, version)
        readers = [host.reader() for host in (first, alone)]
        handles = [reader.open_content(what.info) for reader in readers]

        def crowds():
            return [reader.call(ipc.CONTENT_INFO, ipc.fixed(1, handle)).get(
                3, 0) for reader, handle in zip(readers, handles)]

        for host in others:
            assert crowds() == [0, 0]
            assert set(host.reader().read_units(what)) == {MISSING_DATA}
        wait_until(lambda: crowds() == [1, 0], "a crowd is seen")


# Hosts that go.

@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("gone", ["killed", "unplugged"])
def test_peer_leaves(version, gone):
    """One of two in the middle: the other has it all.  Then the other, too:
    what is not here by then is missing, in time."""
    with lab_of(3) as lab:
        first, second, third = lab.hosts
        lab.start(first, second, Upload__RateLimit="4M", **HASTY)
        third.start(Retrieval__RequestTimeout="500ms", **HASTY)
        what = make(48 * BLOCK, version)
        for host in (first, second):
            host.gives(what)

        def leave(host):
            if gone == "killed":
                host.kill()
            else:
                lab.hub.ip(f"link set {host.name}l0 down")

        reader = third.reader()
        codes = reader.read_units(what, units=range(24),
                                  ended=lambda n: n != 4 or leave(first))
        assert codes == [0] * 24
        watch = Stopwatch(reader.server)
        codes = reader.read_units(what, units=range(24, 48),
                                  ended=lambda n: n != 2 or leave(second))
        assert set(codes) == {0, MISSING_DATA}
        assert codes.count(0) >= 2
        assert watch.read() < DEADLINE / 2
        missing = codes.count(MISSING_DATA) * BLOCK
        assert third.explain(what)["bytes"]["missing"] == missing
        assert third.reader().fetch(what) == missing


@needs_tap
def test_bad_cable():
    """Frames are lost, doubled, late and out of order."""
    faults = {"loss": 0.03, "double": 0.1, "delay": 0.002, "jitter": 0.005}
    with lab_of(3, faults={1: faults}) as lab:
        first, second, third = lab.start(Retrieval__RequestTimeout="10s",
                                         **PATIENT).hosts
        for version in (1, 2):
            what = first.gives(make(10 * BLOCK, version))
            assert second.reader().fetch(what) == 0
            assert third.reader().fetch(what) == 0
            back = third.gives(make(4 * BLOCK, version))
            assert first.reader().fetch(back) == 0
        assert first.relays[0].lost > 0
