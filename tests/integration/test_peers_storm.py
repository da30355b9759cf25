# SPDX-License-Identifier: BSD-2-Clause
"""A branch in a storm: cables that lose, delay, double and reorder frames,
daemons that are killed, stopped, reloaded and switched, interfaces that go and
come, peers that lie, connections that say nothing, and on each host clients
that read, cancel, close and leave.  No byte is wrong and no read hangs; when it
is over, nothing of it is left, and contents travel as before.

SOAK=1 storms for a sixth of $MINUTES (by default 60), with another seed each
time; it is printed, and SEED=n plays that one.  What happens when still depends
on the machine, since a step of the storm waits for what clients do.
"""

import collections
import contextlib
import os
import random
import re
import select
import signal
import threading
import time
import traceback

import bad_peer
import ipc
from conftest import DEADLINE
from lab import (BLOCK, Content, Reader, lab_of, make, needs_lab, needs_tap,
                 wait_until)
from pace import Clock
from scene import SAN

pytestmark = [needs_lab, needs_tap]
SOAK = os.environ.get("SOAK") == "1"
SEED = int(os.environ.get("SEED") or (time.time_ns() % 10**9 if SOAK else 7))
# The item has an hour, for other tests as well.
SECONDS = (min(10 * int(os.environ.get("MINUTES") or 60), 2400) if SOAK else
           20 if SAN else 10)
WEATHER = {"loss": 0.02, "double": 0.05, "delay": 0.001, "jitter": 0.01}
CALM = dict.fromkeys(WEATHER, 0)
PATIENCE = 2.0 if SAN else 0.7
SETTINGS = {
    "Discovery__ProbeTimeout": f"{1000 if SAN else 300}ms",
    "Discovery__QuorumSize": "3",
    "Retrieval__RequestTimeout": f"{round(PATIENCE * 1000)}ms",
    "Retrieval__Quarantine": "1s",
    "Upload__MaxSessions": "6",
    "Upload__Timeout": "5s",
    # Less than all contents together.
    "DataCache__MaxSize": "24M",
}
STABLE, WILD = 3, 3
LIARS = range(20, 24)
CONTENTS = 40
CLIENTS = 2
# Memory that may be more at the end than in the first half; allocators keep
# some, and a short storm has not seen all yet.
GROWTH_MOST = (400 if SAN else 12 if SOAK else 24) << 20
# Connections to peers for later: as many, and so many seconds.
KEPT_MOST, IDLE = 64, 30
READ_MS = 500 * DEADLINE
CONDUCTS = {**bad_peer.BLOCKS, **bad_peer.LISTS, **bad_peer.https(PATIENCE)}
# These send as fast as they can: one at a time is enough.
LOUD = [name for name in CONDUCTS if name.startswith(("endless", "long-line"))]


class Several(Content):
    """Of which a peer has all."""

    def __init__(self, contents):
        super().__init__(b"")
        self.units, self.keys, self.secrets = [], [], {}
        for what in contents:
            self.units += [(len(self.octets) + at, length)
                           for at, length in what.units]
            self.keys += what.keys
            self.secrets.update(what.secrets)
            self.octets += what.octets


# Clients.

class Visitor(threading.Thread):
    """Does this and that on one host, until the end."""

    def __init__(self, storm, host, seed):
        super().__init__(daemon=True)
        self.storm = storm
        self.host = host
        self.rng = random.Random(seed)
        self.client = None
        self.fault = None
        self.from_origin = 0
        self.done = collections.Counter()

    def fetch(self, what):
        self.from_origin += self.client.fetch(what, READ_MS)

    def read(self, what):
        """Without an origin, and perhaps without much time."""
        handle = self.client.open_content(what.info)
        self.client.read_units(what, self.rng.choice((0, 50, READ_MS)),
                               handle=handle)
        assert self.client.code(ipc.CONTENT_CLOSE, ipc.fixed(1, handle)) == 0

    def submit(self, what, handle):
        """Some reads, by id."""
        submitted = {}
        units = range(len(what.units))
        for unit in self.rng.sample(units, min(len(units), 5)):
            at, length = what.units[unit]
            number = self.client.number()
            self.client.send(ipc.SUBMIT_BLOCK_READ, number,
                             ipc.fixed(1, handle) + ipc.u(2, at) +
                             ipc.u(3, length) + ipc.u(4, READ_MS))
            submitted[number] = unit
        return submitted

    def answers(self, what, submitted, wanted):
        """Until all of these ended and so many requests are answered."""
        left = dict(submitted)
        while left or wanted > 0:
            kind, number, fields = self.client.receive()
            if kind == ipc.REPLY:
                wanted -= 1
            elif kind == ipc.COMPLETE:
                unit = left.pop(number)
                if fields.get(1, 0) != ipc.ABORTED:
                    self.client.judge(what, unit, fields)

    def cancel(self, what):
        """One by one, or all of the content."""
        handle = self.client.open_content(what.info)
        submitted = self.submit(what, handle)
        several = [ipc.fixed(2, number) for number in submitted
                   if self.rng.random() < 0.5] or [b""]
        for body in several:
            self.client.send(ipc.CLIENT_CANCEL, 1, ipc.fixed(1, handle) + body)
        self.answers(what, submitted, len(several))
        assert self.client.code(ipc.CONTENT_CLOSE, ipc.fixed(1, handle)) == 0

    def close(self, what):
        """The content, with reads of it going on."""
        handle = self.client.open_content(what.info)
        submitted = self.submit(what, handle)
        self.client.send(ipc.CONTENT_CLOSE, 1, ipc.fixed(1, handle))
        self.answers(what, submitted, 1)

    def leave(self, what):
        """Without a word, with reads going on."""
        self.submit(what, self.client.open_content(what.info))
        self.drop()

    def drop(self):
        if self.client is not None:
            self.client.close()
            self.client = None

    def act(self):
        if self.client is None:
            self.client = Reader(self.host.folder.socket, DEADLINE)
        act = self.rng.choices(
            (self.fetch, self.read, self.cancel, self.close, self.leave),
            (6, 2, 1, 1, 1))[0]
        act(self.rng.choice(self.storm.contents))
        self.done[act.__name__] += 1

    def run(self):
        while not self.storm.is_over:
            here, lives = self.storm.lives[self.host], self.host.daemon
            if not here.wait(DEADLINE):
                continue
            try:
                self.act()
                self.storm.clock.tick()
            except BaseException:  # told by check()
                self.drop()
                # What a daemon says when it ends is not judged.
                if here.is_set() and self.host.daemon is lives:
                    self.fault = traceback.format_exc()
                    break
        self.drop()


# The storm.

class Storm:
    def __init__(self, lab, seconds, seed):
        self.lab = lab
        self.rng = random.Random(seed)
        self.clock = Clock()
        self.began = time.monotonic()
        self.end = self.began + seconds
        self.is_over = False
        self.hosts = lab.hosts[:STABLE + WILD]
        self.wild = self.hosts[STABLE:]
        # By host, set while its daemon is not being ended or started.
        self.lives = {host: threading.Event() for host in self.hosts}
        self.contents = [self.content(1 + i % 2) for i in range(CONTENTS)]
        self.done = collections.Counter()
        self.intruders = []
        lab.start(*self.hosts, **SETTINGS)
        self.before = {host: calm_descriptors(host) for host in self.hosts}
        self.street = self.liars(lab.hosts[-1])
        self.visitors = [Visitor(self, host, f"{seed}.{i}")
                         for i, host in enumerate(self.hosts * CLIENTS)]

    def content(self, version):
        size = self.rng.randint(1, 30) * BLOCK - self.rng.randint(0, 99)
        return make(size, version, self.rng.random())

    def liars(self, host):
        host.up(more=LIARS)
        street = bad_peer.Street(host)
        self.lab.stack.callback(street.close)
        for i, number in enumerate(LIARS):
            street.add(number, Several(self.contents[i::2]),
                       bad_peer.BLOCKS["good"])
        return street

    def blow(self):
        for host in self.hosts:
            self.lives[host].set()
        for visitor in self.visitors:
            visitor.start()
        middle, most = (self.began + self.end) / 2, {}
        while time.monotonic() < self.end:
            step = self.rng.choices(
                (self.kill, self.stop, self.unplug, self.down, self.switch,
                 self.flush, self.renew, self.reload, self.lie, self.intrude,
                 self.forgive), (3, 2, 3, 3, 3, 3, 4, 1, 4, 3, 1))[0]
            self.done[step.__name__] += 1
            step(self.rng)
            self.clock.wait(self.rng.randint(1, 6))
            if self.faults:
                break
            if time.monotonic() < middle or not most:
                most = {host: max(most.get(host, 0), memory(host))
                        for host in self.hosts[:STABLE]}
        self.is_over = True
        for visitor in self.visitors:
            visitor.join(3 * DEADLINE)
            assert not visitor.is_alive(), (visitor.host.name, "hangs")
        assert not self.faults, "\n".join(self.faults)
        return most

    @property
    def faults(self):
        died = [f"{host.name} died" for host in self.hosts
                if host.daemon.process.poll() is not None]
        return died + [f"{v.host.name}: {v.fault}" for v in self.visitors
                       if v.fault]

    def tell(self, *words):
        print(f"{time.monotonic() - self.began:8.3f}", *words, flush=True)

    def rest(self):
        """Others go on."""
        self.clock.wait(self.rng.randint(1, 8))

    def end_daemon(self, end):
        host = self.rng.choice(self.wild)
        self.tell(end.__name__, host.name)
        self.lives[host].clear()
        end(host)
        self.rest()
        host.start(**SETTINGS)
        self.lives[host].set()

    def kill(self, _):
        def kill(host):
            host.daemon.signal(signal.SIGKILL)
            assert host.daemon.wait() == -signal.SIGKILL
        self.end_daemon(kill)

    def stop(self, _):
        def stop(host):
            assert host.daemon.stop() == 0
        self.end_daemon(stop)

    def unplug(self, rng):
        host = rng.choice(self.hosts)
        self.tell("unplug", host.name)
        self.lab.hub.ip(f"link set {host.name}l0 down")
        self.rest()
        self.lab.hub.ip(f"link set {host.name}l0 up")

    def down(self, rng):
        host = rng.choice(self.hosts)
        self.tell("down", host.name)
        host.down()
        self.rest()
        host.up()

    def switch(self, rng):
        host = rng.choice(self.hosts)
        self.tell("local", host.name)
        switch(host, "local")
        self.rest()
        switch(host, "distributed")

    def flush(self, rng):
        host = rng.choice(self.hosts)
        self.tell("flush", host.name)
        assert host.folder.ctl("--yes", "cache", "flush").code == 0

    def renew(self, rng):
        """Contents that nobody has."""
        for i in rng.sample(range(CONTENTS), 3):
            self.contents[i] = self.content(self.contents[i].version)

    def reload(self, rng):
        host = rng.choice(self.hosts)
        self.tell("reload", host.name)
        host.daemon.reload()

    def forgive(self, rng):
        host = rng.choice(self.hosts)
        for number in LIARS:
            host.folder.ctl("peers", "forgive", host.v4(0, number))

    def lie(self, rng):
        """Another conduct."""
        peer = rng.choice(self.street.peers)
        name = rng.choice(list(CONDUCTS))
        if name in LOUD:
            for other in self.street.peers:
                other.conduct = bad_peer.BLOCKS["empty"]
        self.tell("lie", name)
        peer.requests.clear()
        peer.conduct = CONDUCTS[name]

    def intrude(self, rng):
        """A connection that says half of something, and stays."""
        host = rng.choice(self.hosts)
        intruder = self.street.host.net.socket()
        self.intruders.append(intruder)
        intruder.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            intruder.connect((host.v4(), 80))
            request = (b"POST " + bad_peer.PATH + b" HTTP/1.1\r\nHost: x\r\n"
                       b"Content-Length: 100\r\n\r\n" + bytes(50))
            intruder.send(request[:rng.randint(0, len(request))])
        while len(self.intruders) > 8:
            self.intruders.pop(0).close()


def switch(host, mode):
    assert host.folder.ctl("mode", "set", mode).code == 0


def honest_are_trusted(storm):
    """What was cut or late is no lie."""
    known = {a for host in storm.hosts for a in (host.v4(), host.v6())}
    honest = {(host.name, a): row["bad"] for host in storm.hosts
              for a, row in host.peers.items()
              if a in known or a.startswith("fe80")}
    assert honest and not any(honest.values()), honest


# What is left.

def memory(host):
    with open(f"/proc/{host.daemon.process.pid}/status",
              encoding="ascii") as file:
        return int(re.search(r"RssAnon:\s+(\d+)", file.read())[1]) << 10


def tables(pid):
    """What each socket of a network namespace is, by its link in /proc."""
    found = {}
    for name in ("unix", "udp", "udp6", "tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{name}", encoding="utf-8") as lines:
            for line in list(lines)[1:]:
                words = line.split()
                inode = words[6 if name == "unix" else 9]
                kind = name.rstrip("6")
                if kind == "tcp":
                    listens, served = words[3] == "0A", words[1][-4:] == "0050"
                    kind = ("listener" if listens else
                            "tcp of a peer" if served else "tcp to a peer")
                found[f"socket:[{inode}]"] = kind
    return found


def descriptors(host):
    """How many of each kind, without volumes that the cache has."""
    pid = host.daemon.process.pid
    links = []
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            # It may be closed by now.
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(entry.path))
    kinds = tables(pid)
    found = collections.Counter()
    for link in links:
        kind = re.sub(r"\[\d+\]$", "", kinds.get(link, link))
        if not kind.endswith(".vol"):
            found[kind.removeprefix(str(host.path))] += 1
    return found


def calm_descriptors(host):
    """When it is heard and asks everywhere."""
    wait_until(lambda: asks(host), f"{host.name} asks")
    return wait_until(lambda: (lambda one: one == descriptors(host) and one)(
        descriptors(host)), "two looks agree")


def asks(host):
    told = host.status["discovery"]
    return (told["running"] and told["interfaces"] == ["eth0"] and
            told["asks_ipv4"] == told["asks_ipv6"] == 1)


def open_things(host):
    """All that should be nothing."""
    status = host.status
    counters = status["counters"]
    found = {q["name"]: q["used"] for q in status["quotas"]
             if q["name"] not in ("connections", "sessions")}
    found.update({
        "fetches": counters["fetches_running"],
        "uploads": status["uploads"]["running"],
        # Who asks is one.
        "clients": status["clients"] - 1,
        "operations": counters["operations_started"] -
        counters["operations_finished"] - counters["operations_abandoned"],
        "in flight": sum(row["in_flight"] for row in host.peers.values()),
    })
    return {name: n for name, n in found.items() if n != 0}


def finds(fact, what, longer=0):
    """As wait_until, but tells what was found instead."""
    end = time.monotonic() + DEADLINE + longer
    while True:
        found, wanted = fact()
        if found == wanted or time.monotonic() > end:
            assert found == wanted, what
            return
        select.select([], [], [], 0.01)


def open_in_local_mode(host):
    """Connections to peers are kept for a while, which only a soak waits."""
    kinds = ("udp", "listener", "tcp of", "tcp" if SOAK else "tcp of")
    return {kind: n for kind, n in descriptors(host).items()
            if kind.startswith(kinds) or "deleted" in kind}


def nothing_is_left(storm):
    for host in storm.hosts:
        switch(host, "distributed")
        finds(lambda h=host: (open_things(h), {}), f"left on {host.name}")
    for host in storm.hosts:
        # Those that are kept for the next request are few.
        kept = calm_descriptors(host)
        assert kept["tcp to a peer"] <= KEPT_MOST, kept
        finds(lambda h=host: (h.status["server"]["connections"],
                              descriptors(h)["tcp of a peer"]),
              f"connections of {host.name}")
        # Nothing is lent, so that no volume outlives a flush.
        assert host.folder.ctl("--yes", "cache", "flush").code == 0
        assert host.status["store"]["health"] == "healthy"
        switch(host, "local")
    for host in storm.hosts:
        finds(lambda h=host: (open_in_local_mode(h), {}),
              f"open in local mode on {host.name}", IDLE if SOAK else 0)
        switch(host, "distributed")
    for host in storm.hosts:
        wait_until(lambda h=host: asks(h), f"{host.name} asks again")
        finds(lambda h=host: ({k: n for k, n in descriptors(h).items()
                               if not k.startswith("tcp")}, storm.before[h]),
              f"descriptors of {host.name}")


def contents_travel(storm):
    """A new one goes from one host to all others, and from nowhere else."""
    for host in storm.hosts:
        # Longer than a busy machine needs to answer.
        host.folder.write(Discovery__ProbeTimeout="2s",
                          Retrieval__RequestTimeout="10s")
        host.daemon.reload()
        # Who was silent for long is left alone for a minute.
        for row in host.peers.values():
            if row["quarantine_ms"]:
                host.folder.ctl("peers", "forgive", row["address"])
    for version, giver in ((1, storm.hosts[0]), (2, storm.wild[-1])):
        what = giver.gives(make(9 * BLOCK + 5, version))
        for host in storm.hosts:
            if host is not giver:
                assert host.reader().fetch(what) == 0, host.name
                told = host.explain(what)["bytes"]
                assert told["peers"] == len(what.octets), told


def test_storm():
    print(f"SEED={SEED} for {SECONDS} s")
    on = STABLE + WILD + 1
    with lab_of(on, faults={2: WEATHER, 4: WEATHER}) as lab:
        storm = Storm(lab, SECONDS, SEED)
        most = storm.blow()
        print(storm.done, sum((v.done for v in storm.visitors),
                              collections.Counter()))
        for host in lab.hosts:
            for relay in host.relays:
                assert relay.lost > 0
                relay.faults = CALM
        for intruder in storm.intruders:
            intruder.close()
        for peer in storm.street.peers:
            peer.conduct = bad_peer.BLOCKS["empty"]
        honest_are_trusted(storm)
        nothing_is_left(storm)
        for host, before in most.items():
            grown = memory(host) - before
            print(f"{host.name}: {before >> 20} MiB and {grown >> 10} KiB")
            assert grown < GROWTH_MOST, host.name
        contents_travel(storm)
        for host in storm.hosts:
            counters = host.status["counters"]
            print(host.name, {k: n for k, n in counters.items() if n})
        assert sum(v.done.total() for v in storm.visitors) > 20
