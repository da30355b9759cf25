# SPDX-License-Identifier: BSD-2-Clause
"""A daemon among peers that lie, stall, cut and flood (bad_peer.py).  A reader
gets the right bytes, or is told in time that they are missing; never a wrong
byte, never nothing."""

import socket
import struct
import time

import pytest

import bad_peer
import ipc
from bad_peer import BLOCKS, LISTS, answer, honest_answer, https
from conftest import DEADLINE
from lab import (BLOCK, GROUP_4, MISSING_DATA, PROBE_PORT, lab_of, make,
                 needs_lab, wait_until)
from pace import Stopwatch
from scene import SAN, Witness

pytestmark = needs_lab
NOT_FOUND = 6
PATIENCE = 2.0 if SAN else 0.6
AT_ONCE = 20
FIRST_NUMBER = 20
SETTINGS = {
    "Discovery__ProbeTimeout": f"{2500 if SAN else 1000}ms",
    "Retrieval__RequestTimeout": f"{round(PATIENCE * 1000)}ms",
    "Retrieval__PeerStrikes": "1",
}
HTTPS = https(PATIENCE)
CONDUCTS = {**BLOCKS, **LISTS, **HTTPS}


class Case:
    """One conduct, met twice: by itself and beside a good peer."""

    def __init__(self, name, conduct, street, number):
        self.name, self.conduct = name, conduct
        # A list is asked for when four blocks or more are still wanted.
        size = (14 if name in LISTS else 5) * BLOCK - 3
        self.alone = make(size, 1)
        self.beside = make(size, 1 if name in LISTS else 2)
        self.peer = street.add(number, self.alone, conduct)
        self.other = street.add(number + 1, self.beside, conduct)


class Affair:
    """All conducts, some at once."""

    def __init__(self, lab):
        self.victim, self.good, host, bystander = lab.hosts
        self.watch = lab.watch()
        host.up(more=range(FIRST_NUMBER, FIRST_NUMBER + 2 * len(CONDUCTS)))
        self.street = bad_peer.Street(host)
        lab.stack.callback(self.street.close)
        self.bystander = bystander
        lab.start(self.victim, self.good, **SETTINGS)
        cases = [Case(name, conduct, self.street, FIRST_NUMBER + 2 * i)
                 for i, (name, conduct) in enumerate(CONDUCTS.items())]
        self.cases = {case.name: case for case in cases}
        giver = self.good.reader()
        for case in cases:
            giver.add_units(case.beside)
        self.codes, self.took = {}, []
        reader = self.victim.reader()
        self.witness = Witness(self.victim.folder.socket, False)
        self.witness.start()
        for at in range(0, len(cases), AT_ONCE):
            watch = Stopwatch(reader.server)
            several = [what for case in cases[at:at + AT_ONCE]
                     for what in (case.alone, case.beside)]
            self.codes.update(reader.read_whole(several, 1000 * DEADLINE))
            self.took.append(watch.read())
        self.witness.check()
        self.witness.stop()
        self.rows = self.victim.peers
        self.packets = self.watch.packets()


@pytest.fixture(scope="module")
def affair():
    with lab_of(4) as lab:
        yield Affair(lab)


@pytest.mark.parametrize("name", CONDUCTS)
def test_alone(affair, name):
    """Nobody else has it: it comes from there, or is missing."""
    case = affair.cases[name]
    codes = affair.codes[case.alone]
    assert set(codes) <= {0, MISSING_DATA}
    if case.conduct.gives is not None:
        assert set(codes) == {0 if case.conduct.gives else MISSING_DATA}
    assert case.peer.requests or name in ("gone",)
    row = affair.rows[case.peer.address]
    assert row["blocks"] == codes.count(0)
    assert row["in_flight"] == 0
    faults = {key: row[key] for key in ("bad", "timeouts", "refused", "empty")}
    if codes.count(0) < len(codes) and name != "list-part":
        assert any(faults.values())
    if name in LISTS:
        assert any(r.kind == bad_peer.GETBLKLIST for r in case.peer.requests)
    if case.conduct.mark:
        assert row[case.conduct.mark] > 0, row
    # One strike is enough here.
    assert (row["quarantine_ms"] > 0) >= (row["bad"] > 0)
    if case.conduct.gives:
        assert not row["bad"] and not row["quarantine_ms"]


@pytest.mark.parametrize("name", CONDUCTS)
def test_beside_a_good_one(affair, name):
    """All of it comes from peers, whoever is asked first."""
    case = affair.cases[name]
    assert set(affair.codes[case.beside]) == {0}
    row = affair.rows.get(case.other.address)
    if row and case.conduct.gives is False:
        assert row["blocks"] == 0
    assert affair.victim.explain(case.beside)["bytes"]["peers"] == len(
        case.beside.octets)


def test_nobody_waited_for_long(affair):
    assert max(affair.took) < DEADLINE / 2


def test_what_is_told(affair):
    victim = affair.victim
    told = {name: {s["reason"] for s in victim.explain(
        affair.cases[name].alone)["segments"]} for name in (
            "bytes", "empty", "silent", "gone", "good")}
    assert told["good"] == {"complete"}
    assert told["bytes"] <= {"bad", "nobody"}
    assert told["empty"] <= {"empty", "nobody"}
    assert told["silent"] <= {"timeout", "nobody"}
    assert told["gone"] <= {"refused", "nobody"}
    address = affair.cases["bytes"].peer.address
    line, = [row for row in victim.folder.ctl(
        "peers", "ls").out.splitlines() if row.startswith(f"{address}:80")]
    assert line


def test_redirection_is_not_followed(affair):
    assert not [p for p in affair.packets if p.asks == "10.77.0.250" or
                p.target == "10.77.0.250"]


def test_nothing_is_left(affair):
    status = wait_until(lambda: (
        lambda s: s["counters"]["fetches_running"] == 0 and s)(
            affair.victim.status), "all fetches end")
    counters = status["counters"]
    assert counters["operations_started"] == (
        counters["operations_finished"] + counters["operations_abandoned"])
    assert {row["in_flight"] for row in affair.victim.peers.values()} == {0}


def test_forgiven(affair):
    """Last: it changes who is in quarantine."""
    victim, case = affair.victim, affair.cases["bytes"]
    address = case.peer.address
    asked = len(case.peer.requests)
    # Left alone.
    assert set(victim.reader().read_units(case.alone)) == {MISSING_DATA}
    assert len(case.peer.requests) == asked
    assert victim.folder.ctl("peers", "forgive", "192.0.2.1").code == NOT_FOUND
    assert victim.folder.ctl("peers", "forgive", address).code == 0
    row = victim.peers[address]
    assert row["quarantine_ms"] == row["strikes"] == 0
    assert row["bad"] > 0
    # It has changed its ways, and has something else.
    case.peer.conduct = BLOCKS["good"]
    other = make(BLOCK)
    case.peer.what = other
    affair.street.by_id[other.ids[0]] = [case.peer]
    assert victim.reader().fetch(other) == 0
    assert victim.peers[address]["blocks"] == 1


@pytest.mark.parametrize("how", ["mode", "cancel", "close"])
def test_silence_is_not_waited_for(how):
    """What is on its way is given up when nobody may, or wants to, have it."""
    with lab_of(2) as lab:
        victim, host = lab.hosts
        street = bad_peer.Street(host)
        lab.stack.callback(street.close)
        victim.start(**{**SETTINGS, "Retrieval__RequestTimeout": "10min"})
        peers = [street.add(host.number, make(5 * BLOCK), HTTPS["silent"])]
        host.up(more=[FIRST_NUMBER])
        peers.append(street.add(FIRST_NUMBER, make(5 * BLOCK, 2),
                                HTTPS["half-silent"]))
        reader = victim.reader()
        handles = [reader.open_content(p.what.info) for p in peers]
        waiting = {reader.read(h, 10 * 60000) for h in handles}
        for peer in peers:
            wait_until(lambda p=peer: p.requests and p.links, "it is asked")
        if how == "mode":
            victim.folder.ctl("mode", "set", "local")
        elif how == "cancel":
            for handle in handles:
                reader.send(ipc.CLIENT_CANCEL, 1, ipc.fixed(1, handle))
        if how == "close":
            reader.close()
        else:
            wanted = MISSING_DATA if how == "mode" else ipc.ABORTED
            ends = dict([reader.complete(), reader.complete()])
            assert ends == dict.fromkeys(waiting, wanted)
        for peer in peers:
            wait_until(lambda p=peer: not p.links, "the connection is closed")
        wait_until(lambda: victim.status["counters"]["fetches_running"] == 0,
                   "all is given up")
        assert not victim.peers or not any(
            row["in_flight"] for row in victim.peers.values())
        assert victim.daemon.stop() == 0


# Forged answers.

def elsewhere(*addresses, **wrong):
    """The right answer, but for the addresses, and for what else is wrong."""
    def make_answers(peer, probe):
        scopes, extra = probe.held(peer.what.secrets)
        given = {"relates": probe.relates, "scopes": scopes, "extra": extra,
                 "addresses": " ".join(addresses) or f"{peer.address}:80",
                 "version": probe.version, **wrong}
        return [answer(**given)]
    return make_answers


def changed(old, new):
    def make_answers(peer, probe):
        octets, = honest_answer(peer, probe)
        return [octets.replace(old, new)]
    return make_answers


def junk_first(peer, probe):
    """All kinds of bad datagrams, then the right one."""
    right, = honest_answer(peer, probe)
    bomb = (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cccccccccccccccc">'
            b'<!ENTITY d "&b;&b;&b;&b;&b;&b;&b;&b;">]>')
    relates = probe.relates.encode()
    return [*(right[:n] for n in range(0, len(right), 97)),
            *(right[n:] for n in range(1, len(right), 97)),
            b"\0" * 1000, b"<" * 20000, b"<a>" * 20000, right * 2,
            bomb + right, right.replace(b"<wsd:XAddrs>",
                                        b"<wsd:XAddrs>" + b" " * 60000),
            right.replace(relates, b"urn:uuid:" + b"f" * 40000),
            right.replace(b"Matches>", b"M>"), b"\xef\xbb\xbf" + right[:300],
            right.decode().encode("utf-16"), b"", right]


def bits(scopes):
    return lambda peer, probe: elsewhere(scopes=scopes)(peer, probe)


# Whether the reader gets it, and from there: the peer itself is a good one.
FORGED = {
    "off-link": (elsewhere("192.0.2.1:80"), False),
    "loopback": (elsewhere("127.0.0.1:80", "127.0.0.1:8282", "127.9.9.9:80",
                           "[::1]:80"), False),
    "mapped": (elsewhere("[::ffff:127.0.0.1]:8282",
                         "[::ffff:192.0.2.1]:80"), False),
    "any": (elsewhere("0.0.0.0:8282", "[::]:8282"), False),
    "broadcast": (elsewhere("10.77.0.255:80", "255.255.255.255:80",
                            "10.77.0.0:80"), False),
    "group": (elsewhere("239.255.255.250:80", "224.0.0.1:80",
                        "[ff02::c]:80", "[ff02::1]:80"), False),
    "itself": (elsewhere("10.77.0.1:80", "[fd00:77:1::1]:80"), False),
    "itself-elsewhere": (elsewhere("10.77.0.1:8282",
                                   "[fd00:77:1::1]:8282"), False),
    "port-0": (elsewhere("10.77.0.3:0"), False),
    "port-over": (elsewhere("10.77.0.3:65536", "10.77.0.3:-1",
                            "10.77.0.3:99999999999999999999"), False),
    "no-port": (elsewhere("10.77.0.2"), False),
    "name": (elsewhere("localhost:8282", "peer.example:80"), False),
    "url": (elsewhere("http://10.77.0.3:8080/"), False),
    "nothing": (elsewhere(" "), False),
    "scope": (elsewhere("[fe80::1%lo]:80", "[fe80::1%99]:80"), False),
    "relates": (elsewhere(
        relates="urn:uuid:00000000-0000-0000-0000-000000000000"), False),
    "relates-none": (elsewhere(relates=""), False),
    "types": (elsewhere(types="wsdp:Device"), False),
    "namespace": (changed(bad_peer.PEERDIST.encode(), b"urn:x"), None),
    "action": (changed(b"/ProbeMatches<", b"/ResolveMatches<"), False),
    "no-ids": (bits(""), False),
    "bits-short": (bits("="), None),
    "junk-first": (junk_first, True),
    "right": (honest_answer, True),
}
FORGED_1 = {
    "counts-zero": (elsewhere(
        extra="<PeerDist:BlockCount>00000000</PeerDist:BlockCount>"), False),
    "counts-4": (elsewhere(
        extra="<PeerDist:BlockCount>0008</PeerDist:BlockCount>"), True),
    "counts-max": (elsewhere(
        extra="<PeerDist:BlockCount>FFFFFFFF</PeerDist:BlockCount>"), None),
    "counts-odd": (elsewhere(
        extra="<PeerDist:BlockCount>0000001</PeerDist:BlockCount>"), False),
    "counts-many": (elsewhere(extra="<PeerDist:BlockCount>" + "00000008" * 200
                              + "</PeerDist:BlockCount>"), None),
    "other-id": (bits("AB" * 32), False),
}
FORGED_2 = {
    "bits-none": (bits("AAAAAAAA"), False),
    "bits-invalid": (bits("VVVVVVVV"), False),
    "bits-many": (bits("/" * 4000), None),
    "bits-part": (bits("qqqqqqqq"), None),
    "bits-bad": (bits("!!!!"), False),
    "ages-bad": (elsewhere(
        extra="<PeerDist:SegmentAges>AAEDAgBg6gAC</PeerDist:SegmentAges>"),
                 True),
}


class Forgeries:
    def __init__(self, lab):
        self.victim, host, self.bystander = lab.hosts
        cases = [(v, name, *case) for v, forged in (
            (1, {**FORGED, **FORGED_1}), (2, {**FORGED, **FORGED_2}))
                 for name, case in forged.items()]
        host.up(more=range(FIRST_NUMBER, FIRST_NUMBER + len(cases) + 1))
        self.street = bad_peer.Street(host)
        lab.stack.callback(self.street.close)
        self.victim.start(**SETTINGS)
        # Whatever would go elsewhere can be seen.
        self.victim.net.ip(f"route add default via {host.v4()}")
        self.trap = self.victim.net.socket(socket.AF_INET6)
        self.trap.bind(("::", 8282))
        self.trap.listen(64)
        self.trap.setblocking(False)
        lab.stack.callback(self.trap.close)
        self.watch = lab.watch()
        self.cases = {}
        for i, (version, name, answers, gives) in enumerate(cases):
            what = make(2 * BLOCK, version)
            peer = self.street.add(FIRST_NUMBER + i, what, BLOCKS["good"],
                                   answers)
            self.cases[version, name] = peer, gives
        several = [peer.what for peer, _ in self.cases.values()]
        self.codes = self.victim.reader().read_whole(several, 1000 * DEADLINE)
        self.packets = self.watch.packets()


@pytest.fixture(scope="module")
def forgeries():
    with lab_of(3) as lab:
        yield Forgeries(lab)


@pytest.mark.parametrize("version, name", [
    (1, n) for n in (*FORGED, *FORGED_1)] + [
    (2, n) for n in (*FORGED, *FORGED_2)])
def test_forged_answer(forgeries, version, name):
    peer, gives = forgeries.cases[version, name]
    codes = forgeries.codes[peer.what]
    assert set(codes) <= {0, MISSING_DATA}
    if gives is not None:
        assert set(codes) == {0 if gives else MISSING_DATA}
    if gives is False:
        assert peer.requests == []


def test_nobody_else_is_asked(forgeries):
    victim = forgeries.victim
    near = {peer.address for peer, _ in forgeries.cases.values()}
    opened = {p.target for p in forgeries.packets
              if p.source in (victim.v4(), victim.v6()) and p.opens}
    assert opened and opened <= near
    with pytest.raises(BlockingIOError):
        forgeries.trap.accept()
    assert victim.status["server"]["accepted"] == 0
    assert victim.v4() not in victim.peers
    assert victim.v6() not in victim.peers
    discovery = victim.status["discovery"]
    assert discovery["off_link"] > 0 and discovery["malformed"] > 0


def test_a_bystander_is_left_alone_soon():
    """Answers may name another host of the network; it refuses, or talks
    nonsense, and that is all."""
    with lab_of(3) as lab:
        victim, host, bystander = lab.hosts
        street = bad_peer.Street(host)
        lab.stack.callback(street.close)
        other = bad_peer.Street(bystander)
        lab.stack.callback(other.close)
        nonsense = other.add(bystander.number, make(1), bad_peer.Http(
            lambda link, octets: link.send(b"220 mail.example\r\n"), False))
        nonsense.right = lambda request: b""
        victim.start(**{**SETTINGS, "Retrieval__PeerStrikes": "3"})
        watch = lab.watch()
        several = []
        host.up(more=range(FIRST_NUMBER, FIRST_NUMBER + 20))
        for i in range(20):
            port = 80 if i % 2 else 8080
            several.append(make(3 * BLOCK, 1 + i // 2 % 2))
            street.add(FIRST_NUMBER + i, several[-1], None,
                       elsewhere(f"{bystander.v4()}:{port}"))
        codes = victim.reader().read_whole(several, 1000 * DEADLINE)
        assert {c for some in codes.values() for c in some} == {MISSING_DATA}
        opened = [p for p in watch.packets()
                  if p.target == bystander.v4() and p.opens]
        assert 0 < len(opened) < 40
        assert all(row["quarantine_ms"] > 0 for row in victim.peers.values())


def test_hundreds_of_addresses():
    with lab_of(2) as lab:
        victim, host = lab.hosts
        street = bad_peer.Street(host)
        lab.stack.callback(street.close)
        victim.start(**{**SETTINGS, "Retrieval__RequestTimeout": "200ms"})
        watch = lab.watch()
        everybody = [f"{host.v4(0, n)}:80" for n in range(30, 250)]
        peer = street.add(host.number, make(BLOCK), BLOCKS["good"],
                          elsewhere(*everybody))
        codes = victim.reader().read_units(peer.what)
        assert codes == [MISSING_DATA]
        asked = {p.asks or p.target for p in watch.packets()
                 if p.asks or p.opens}
        assert len(asked & {a[:-3] for a in everybody}) <= 4
        assert len(victim.peers) <= 4


# Floods.

def probe_of(ident, number):
    """As Windows would ask, literally."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope '
        f'xmlns:soap="{bad_peer.SOAP}" xmlns:wsa="{bad_peer.WSA}" '
        f'xmlns:wsd="{bad_peer.WSD}" xmlns:PeerDist="{bad_peer.PEERDIST}">'
        f'<soap:Header><wsa:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery'
        f'</wsa:To><wsa:Action>{bad_peer.WSD}/Probe</wsa:Action>'
        f'<wsa:MessageID>urn:uuid:00000000-0000-4000-8000-{number:012x}'
        f'</wsa:MessageID></soap:Header><soap:Body><wsd:Probe><wsd:Types>'
        f'PeerDist:PeerDistData</wsd:Types><wsd:Scopes '
        f'MatchBy="{bad_peer.WSD}/strcmp0">{ident.hex().upper()}'
        f'</wsd:Scopes></wsd:Probe></soap:Body></soap:Envelope>').encode()


class Mouths:
    """Many sources of datagrams on one host."""

    def __init__(self, host, count):
        numbers = range(FIRST_NUMBER, FIRST_NUMBER + count)
        host.up(more=numbers)
        self.sockets = []
        for number in numbers:
            made = host.net.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((host.v4(0, number), 0))
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                            socket.inet_aton(host.v4(0, number)))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            made.setblocking(False)
            self.sockets.append(made)

    def say(self, i, octets):
        self.sockets[i % len(self.sockets)].sendto(
            octets, (GROUP_4, PROBE_PORT))

    def heard(self):
        """Answers that came."""
        count = 0
        for each in self.sockets:
            while True:
                try:
                    count += b"ProbeMatches" in each.recv(65536)
                except BlockingIOError:
                    break
        return count

    def close(self):
        for each in self.sockets:
            each.close()


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


def test_probe_flood():
    """Questions, repeats and noise from many addresses, while a program works
    here and another host gets what it wants, or is told that it cannot."""
    with lab_of(3) as lab:
        victim, host, other = lab.hosts
        lab.start(victim, other, **SETTINGS)
        what = victim.gives(make(2 * BLOCK))
        mouths = Mouths(host, 40)
        lab.stack.callback(mouths.close)
        witness = Witness(victim.folder.socket, False)
        witness.start()
        witness.check()
        before = rss(victim.daemon.process.pid)
        began = time.monotonic()
        right = probe_of(what.ids[0], 0)
        for i in range(4000):
            kind = i % 4
            if kind == 0:
                mouths.say(i // 4, probe_of(what.ids[0], i))
            elif kind == 1:
                mouths.say(i // 4, probe_of(what.ids[0], i // 40))
            elif kind == 2:
                mouths.say(i // 4, right[:i % len(right)])
            else:
                mouths.say(i // 4, struct.pack("Q", i) * (i % 180))
        wanted = victim.gives(make(2 * BLOCK))
        codes = other.reader().read_units(wanted)
        assert set(codes) <= {0, MISSING_DATA}
        witness.check()
        took = time.monotonic() - began
        # Whoever asks now is answered: fresh ones, as nobody is asked again
        # soon.
        wait_until(lambda: other.reader().fetch(victim.gives(
            make(BLOCK))) == 0, "it is over")
        witness.check()
        witness.stop()
        counters = victim.status["counters"]
        assert counters["answers_sent"] <= 256 + 100 * (took + DEADLINE)
        assert 0 < mouths.heard() <= 256 + 100 * (took + 1)
        assert rss(victim.daemon.process.pid) - before < (
            400 if SAN else 40) << 20
        assert victim.daemon.stop() == 0


def test_connection_flood():
    """One host opens all it can; others are served all the same."""
    with lab_of(3) as lab:
        victim, host, other = lab.hosts
        lab.start(victim, other, **SETTINGS)
        what = victim.gives(make(3 * BLOCK))
        held = []
        try:
            for i in range(300):
                held.append(host.net.socket())
                held[-1].setblocking(False)
                held[-1].connect_ex((victim.v4(), 80))
                if i % 3 == 0:
                    wait_until(lambda: sent(held[-1], b"POST / HTTP/1.1\r\n"),
                               "connected")
            assert other.reader().fetch(what) == 0
            assert victim.status["server"]["connections"] <= 64 + 16
            assert victim.status["server"]["crowded"] > 0
        finally:
            for each in held:
                each.close()
        wait_until(lambda: victim.status["server"]["connections"] <= 16,
                   "they are gone")
        assert victim.status["uploads"]["running"] == 0


def test_connection_flood_of_a_prefix():
    """One host opens all it can from ever other addresses of its prefix."""
    with lab_of(3) as lab:
        victim, host, other = lab.hosts
        lab.start(victim, other, **SETTINGS)
        what = victim.gives(make(3 * BLOCK))
        mine = [f"fd00:77:1::beef:{i:x}" for i in range(1, 31)]
        host.net.ip(*[f"addr add {a}/64 dev eth0 nodad" for a in mine])
        held = []
        try:
            for i in range(600):
                held.append(host.net.socket(socket.AF_INET6))
                held[-1].bind((mine[i % len(mine)], 0))
                held[-1].setblocking(False)
                held[-1].connect_ex((victim.v6(), 80))
                if i % 3 == 0:
                    wait_until(lambda: sent(held[-1], b"POST / HTTP/1.1\r\n"),
                               "connected")
            assert other.reader().fetch(what) == 0
            server = victim.status["server"]
            assert 200 < server["connections"] <= 256 + 16
            assert server["crowded"] > 300
        finally:
            for each in held:
                each.close()


def sent(connection, octets):
    try:
        return connection.send(octets)
    except BlockingIOError:
        return 0
    except OSError:
        # Refused already: that is all right, too.
        return 1
