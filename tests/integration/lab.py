# SPDX-License-Identifier: BSD-2-Clause
"""A branch office in network namespaces: hosts on bridges, a daemon on each,
contents, and clients that get what is missing from an origin and count it.

A namespace here has no name and no process; it is a descriptor of this program
and ends with it, whatever happens.  Threads enter it one by one, and a socket
made inside stays there.  The bridges have a namespace of their own, where all
frames can be watched.  Nothing leads outside.

A host's cable is a pair of veth devices or, if it is to lose, delay or double
frames, a pair of TAP devices with a relay between them, since not every kernel
has netem.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import heapq
import hmac
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import content
import ipc
from conftest import DEADLINE, Daemon, Folder, temporary_folder
from pace import Stopwatch

BLOCK = content.BLOCK
TIMEOUT, MISSING_DATA, NO_MORE = 1460, 4052, 4053
PROBE_PORT = 3702
GROUP_4, GROUP_6 = "239.255.255.250", "ff02::c"
ID_TAG = "MS_P2P_CACHING\0".encode("utf-16-le")
CLONE_NEWNET = 0x40000000
AT_ONCE = 16

libc = ctypes.CDLL(None, use_errno=True)
HOME = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def check(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Namespace:
    def __init__(self):
        check(libc.unshare(CLONE_NEWNET))
        try:
            self.fd = os.open("/proc/thread-self/ns/net",
                              os.O_RDONLY | os.O_CLOEXEC)
        finally:
            check(libc.setns(HOME, CLONE_NEWNET))
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        # Duplicate addresses are not looked for, which takes a second.
        with self.inside():
            for name in ("all", "default"):
                with open(f"/proc/sys/net/ipv6/conf/{name}/accept_dad", "w",
                          encoding="ascii") as file:
                    file.write("0")

    @contextlib.contextmanager
    def inside(self):
        """This thread is there; what it starts meanwhile as well."""
        check(libc.setns(self.fd, CLONE_NEWNET))
        try:
            yield self
        finally:
            check(libc.setns(HOME, CLONE_NEWNET))

    @property
    def prefix(self):
        """A command runs inside behind it."""
        return ["nsenter", f"--net={self.path}", "--"]

    def ip(self, *lines):
        done = subprocess.run(
            ["ip", "-batch", "-"], input="\n".join(lines), text=True,
            capture_output=True, timeout=DEADLINE, check=False,
            preexec_fn=lambda: libc.setns(self.fd, CLONE_NEWNET))
        assert done.returncode == 0, f"{lines}: {done.stderr}"

    def read(self, name):
        """What /proc/net/NAME says there."""
        with self.inside(), open(f"/proc/thread-self/net/{name}",
                                 encoding="ascii") as file:
            return file.read()

    def socket(self, *args):
        with self.inside():
            return socket.socket(*args)

    def close(self):
        os.close(self.fd)


def why_not():
    """The reason that there can be no lab, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("ip", "nsenter"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    try:
        tried = Namespace()
    except OSError as error:
        return f"no network namespaces: {error.strerror}"
    try:
        tried.ip("link add lan0 type bridge",
                 "link add veth0 type veth peer name veth1")
    except AssertionError as error:
        return f"no bridges or no veth devices: {error}"
    finally:
        tried.close()
    with open("/proc/self/net/protocols", encoding="ascii") as lines:
        if not any(line.startswith("TCPv6") for line in lines):
            return "no IPv6"
    return None


WHY_NOT = why_not()
needs_lab = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
needs_tap = pytest.mark.skipif(
    WHY_NOT is not None or not os.access("/dev/net/tun", os.R_OK | os.W_OK),
    reason=WHY_NOT or "no /dev/net/tun")


def wait_until(fact, what):
    """Looks again and again, with a deadline; returns what was found."""
    end = time.monotonic() + DEADLINE
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        select.select([], [], [], 0.005)


# A cable with faults.

def tap(namespace, name):
    set_iff, iff_tap_no_pi = 0x400454CA, 0x1002
    with namespace.inside():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, set_iff,
                    struct.pack("16sH22x", name.encode(), iff_tap_no_pi))
    return fd


class Relay(threading.Thread):
    """Carries frames between two TAP devices.  The parts of frames that are
    lost and doubled are of 1; delay, and jitter on top of it, in seconds."""

    def __init__(self, ends, seed=1, **faults):
        super().__init__(daemon=True)
        self.ends = ends
        self.faults = {"loss": 0, "double": 0, "delay": 0, "jitter": 0,
                       **faults}
        self.rng = random.Random(seed)
        self.lost = self.carried = 0
        self.queue = []
        self.order = 0
        self.wake = os.pipe()
        self.start()

    def take(self, end):
        try:
            frame = os.read(self.ends[end], 65536)
        except BlockingIOError:
            return
        now, f = time.monotonic(), self.faults
        for _ in range(2 if self.rng.random() < f["double"] else 1):
            if self.rng.random() < f["loss"]:
                self.lost += 1
                continue
            due = now + f["delay"] + self.rng.random() * f["jitter"]
            self.order += 1
            heapq.heappush(self.queue, (due, self.order, end, frame))

    def give(self):
        while self.queue and self.queue[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(self.queue)
            self.carried += 1
            try:
                os.write(self.ends[1 - end], frame)
            except OSError as error:
                # Down, or full.
                if error.errno not in (errno.EIO, errno.EAGAIN):
                    raise

    def run(self):
        while True:
            left = None
            if self.queue:
                left = max(self.queue[0][0] - time.monotonic(), 0)
            ready, _, _ = select.select([*self.ends, self.wake[0]], [], [],
                                        left)
            if self.wake[0] in ready:
                return
            for end in (0, 1):
                if self.ends[end] in ready:
                    self.take(end)
            self.give()

    def close(self):
        os.write(self.wake[1], b"x")
        self.join(DEADLINE)
        for fd in (*self.ends, *self.wake):
            os.close(fd)


# Watching.

class Packet:
    """What a frame of IPv4 or IPv6 says, as far as tests ask."""

    def __init__(self, frame):
        self.frame = frame
        self.source = self.target = self.protocol = None
        self.asks = None  # ARP: for whom
        self.ports, self.payload, self.hops = (0, 0), b"", None
        kind, = struct.unpack_from(">H", frame, 12)
        if kind == 0x0800 and len(frame) >= 34:
            self.hops, self.protocol = frame[22], frame[23]
            self.source = socket.inet_ntop(socket.AF_INET, frame[26:30])
            self.target = socket.inet_ntop(socket.AF_INET, frame[30:34])
            self.transport(14 + 4 * (frame[14] & 15))
        elif kind == 0x0806 and len(frame) >= 42:
            self.asks = socket.inet_ntop(socket.AF_INET, frame[38:42])
        elif kind == 0x86DD and len(frame) >= 54:
            self.protocol, self.hops = frame[20], frame[21]
            self.source = socket.inet_ntop(socket.AF_INET6, frame[22:38])
            self.target = socket.inet_ntop(socket.AF_INET6, frame[38:54])
            self.transport(54)

    def transport(self, at):
        if len(self.frame) < at + 8 or self.protocol not in (6, 17):
            return
        self.ports = struct.unpack_from(">HH", self.frame, at)
        if self.protocol == 17:
            self.payload = self.frame[at + 8:]
        elif len(self.frame) >= at + 20:
            self.payload = self.frame[at + 4 * (self.frame[at + 12] >> 4):]

    @property
    def is_probe(self):
        return self.protocol == 17 and self.ports[1] == PROBE_PORT

    @property
    def opens(self):
        """The first of a TCP connection."""
        if self.protocol != 6:
            return False
        at = 14 + 4 * (self.frame[14] & 15) if "." in self.source else 54
        return self.frame[at + 13] & 0x12 == 0x02


class Watch:
    """All frames that hosts send, from when it is made."""

    def __init__(self, hub):
        all_protocols, force_room = 3, 33
        self.socket = hub.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                 socket.htons(all_protocols))
        self.socket.setsockopt(socket.SOL_SOCKET, force_room, 256 << 20)
        self.socket.setblocking(False)

    def packets(self):
        """Those since the last call."""
        found = []
        outgoing = 4
        while True:
            try:
                frame, where = self.socket.recvfrom(65536 + 64)
            except BlockingIOError:
                break
            # Each is also seen where it leaves, and at the bridge itself.
            if where[2] != outgoing and not where[0].startswith("lan"):
                found.append(Packet(frame))
        packet_level, statistics = 263, 6
        _, lost = struct.unpack(
            "II", self.socket.getsockopt(packet_level, statistics, 8))
        assert lost == 0
        return found

    def close(self):
        self.socket.close()


# Hosts.

class Host:
    def __init__(self, lab, number):
        self.lab = lab
        self.number = number
        self.name = f"h{number}"
        self.net = Namespace()
        self.inside = self.net.inside
        self.path = lab.path / self.name
        self.path.mkdir()
        self.folder = Folder(self.path)
        self.daemon = None
        self.lans = []
        self.relays = []

    def v4(self, lan=0, number=None):
        return f"10.77.{lan}.{number or self.number}"

    def v6(self, lan=0, number=None):
        return f"fd00:77:{lan + 1}::{number or self.number:x}"

    def addresses(self, lan):
        found = []
        if self.lab.ipv4:
            found.append(f"{self.v4(lan)}/24")
        if self.lab.ipv6:
            found.append(f"{self.v6(lan)}/64")
        return found

    def up(self, lan=0, more=()):
        """The interface works, with its addresses, and with the others of the
        numbers in more."""
        lines = [f"link set eth{lan} up"]
        lines += [f"addr replace {a} dev eth{lan}"
                  for a in self.addresses(lan)]
        for number in more:
            lines.append(f"addr add {self.v4(lan, number)}/24 dev eth{lan}")
        self.net.ip(*lines)

    def down(self, lan=0):
        self.net.ip(f"link set eth{lan} down")

    # The daemon.

    def launch(self, **settings):
        self.folder.write(**{"Service__Mode": "distributed",
                             "Network__Interfaces": "all",
                             "Network__RetrievalListen": "[::]:80",
                             "Network__AllowPeers": "local", **settings})
        self.daemon = Daemon(self.folder, prefix=self.net.prefix)
        self.daemon.launch()
        return self.daemon

    def start(self, **settings):
        self.launch(**settings).wait_for("READY=1")
        return self

    def kill(self):
        """No good-bye."""
        self.daemon.signal(signal.SIGKILL)
        self.daemon.wait()

    @property
    def status(self):
        return self.folder.status()

    @property
    def peers(self):
        """Rows of `peers ls` by address without port."""
        return {row["address"].rpartition(":")[0].strip("[]"): row
                for row in self.folder.json("peers", "ls")["peers"]}

    def explain(self, what):
        path = self.path / "explained.ci"
        path.write_bytes(what.info)
        return self.folder.json("explain", path)

    def gives(self, what, units=None):
        """A program here adds it to the cache."""
        self.reader().add_units(what, units)
        return what

    def reader(self, **kwargs):
        made = Reader(self.folder.socket, DEADLINE, **kwargs)
        self.lab.stack.callback(made.close)
        return made

    def close(self):
        if self.daemon is not None:
            print(f"--- {self.name}")
            self.daemon.close()
        for relay in self.relays:
            relay.close()
        self.net.close()


class Lab:
    """Hosts are numbered from 1.  lans: of each host, the bridges that it is
    on; faults: by host, of its cable (see Relay)."""

    def __init__(self, path, hosts=0, lans=(), ipv4=True, ipv6=True,
                 faults=None):
        """ipv4, ipv6: with addresses of that family, besides link-local."""
        self.path = path
        self.ipv4, self.ipv6 = ipv4, ipv6
        self.stack = contextlib.ExitStack()
        self.hosts = []
        lans = list(lans) or [(0,)] * hosts
        with contextlib.ExitStack() as until_done:
            until_done.callback(self.stack.close)
            self.hub = Namespace()
            self.stack.callback(self.hub.close)
            self.hub.ip(*[line for n in sorted({n for l in lans for n in l})
                          for line in (f"link add lan{n} type bridge",
                                       f"link set lan{n} up")])
            for number, on in enumerate(lans, 1):
                self.add(number, on, (faults or {}).get(number))
            until_done.pop_all()

    def add(self, number, lans, faults):
        host = Host(self, number)
        self.hosts.append(host)
        self.stack.callback(host.close)
        for lan in lans:
            port = f"{host.name}l{lan}"
            lines = [f"link set {port} master lan{lan}", f"link set {port} up"]
            if faults is None:
                lines.insert(0, f"link add {port} type veth peer name "
                             f"eth{lan} netns {host.net.path}")
            else:
                host.relays.append(Relay(
                    [tap(host.net, f"eth{lan}"), tap(self.hub, port)],
                    seed=number, **faults))
            self.hub.ip(*lines)
            host.lans.append(lan)
            host.up(lan)
        host.net.ip("link set lo up")

    def start(self, *hosts, **settings):
        """Daemons on these, or all, at once."""
        hosts = hosts or self.hosts
        for host in hosts:
            host.launch(**settings)
        for host in hosts:
            host.daemon.wait_for("READY=1")
        return self

    def watch(self):
        made = Watch(self.hub)
        self.stack.callback(made.close)
        return made

    def stop(self):
        """All daemons end well: also those that are in the middle of it."""
        running = [host.daemon for host in self.hosts if host.daemon and
                   host.daemon.process.poll() is None]
        for daemon in running:
            daemon.signal(signal.SIGTERM)
        assert [daemon.wait() for daemon in running] == [0] * len(running)

    def close(self):
        self.stack.close()


@contextlib.contextmanager
def lab_of(*args, **kwargs):
    with temporary_folder() as path:
        made = Lab(path, *args, **kwargs)
        try:
            yield made
            made.stop()
        finally:
            made.close()


# Contents.

class Content:
    """Bytes, their description, and what is asked for as one: a block of
    version 1, a segment of version 2.  keys: (segment id, block) of each;
    secrets: by id."""

    def __init__(self, octets, version=1, unit=None):
        self.octets = octets
        self.version = version
        self.units, self.keys, self.secrets = [], [], {}
        self.private = []
        if version == 1:
            self.describe1()
        else:
            self.describe2(unit or BLOCK)

    def describe1(self):
        segments = []
        for at in range(0, len(self.octets), content.SEGMENT):
            part = self.octets[at:at + content.SEGMENT]
            made = content.Segment(part, at)
            ident = hmac.digest(made.kp, made.hod + ID_TAG, "sha256")
            self.secrets[ident] = made.kp
            self.private += [made.kp, made.hod, *made.blocks]
            segments.append(made)
            for i in range(0, len(part), BLOCK):
                self.units.append((at + i, min(BLOCK, len(part) - i)))
                self.keys.append((ident, i // BLOCK))
        self.info = content.v1(*segments)

    def describe2(self, unit):
        described = []
        for at in range(0, len(self.octets), unit):
            part = self.octets[at:at + unit]
            kp = os.urandom(32)
            hod = hashlib.sha512(part).digest()[:32]
            ident = hmac.digest(kp, hod + ID_TAG, "sha512")[:32]
            described.append(content.description2(part, kp))
            self.units.append((at, len(part)))
            self.keys.append((ident, 0))
            self.secrets[ident] = kp
            self.private += [kp, hod]
        self.info = content.v2(described)

    @property
    def ids(self):
        return list(self.secrets)

    def unit(self, i):
        at, length = self.units[i]
        return self.octets[at:at + length]

    def block(self, ident, index):
        """The bytes of a block, or None."""
        try:
            return self.unit(self.keys.index((ident, index)))
        except ValueError:
            return None


def make(size, version=1, seed=None):
    if seed is None:
        return Content(os.urandom(size), version)
    return Content(random.Random(seed).randbytes(size), version)


# A client as an application is one.

class Reader(ipc.Client):
    """Keeps several reads going, and compares every byte it is given."""

    def add_units(self, what, units=None):
        """These, or all, are in this host's cache."""
        handle = self.open_content(what.info)
        for unit in range(len(what.units)) if units is None else units:
            assert self.add(ipc.SUBMIT_DATA_ADD, handle, what.unit(unit),
                            what.units[unit][0]) == (0, 0)
        self.call(ipc.CONTENT_CLOSE, ipc.fixed(1, handle))

    def read_units(self, what, timeout_ms=1000 * DEADLINE, units=None,
                   handle=None, ended=lambda n: None):
        """Codes of the reads of these units, all of them by default.  ended is
        told how many have."""
        if handle is None:
            handle = self.open_content(what.info)
        if units is None:
            units = range(len(what.units))
        return self.read_many([(what, handle, unit) for unit in units],
                              timeout_ms, AT_ONCE, ended)

    def read_whole(self, several, timeout_ms):
        """Codes of the reads of several contents at once, by content."""
        wanted = [(what, handle, unit) for what in several
                  for handle in [self.open_content(what.info)]
                  for unit in range(len(what.units))]
        codes = self.read_many(wanted, timeout_ms, len(wanted))
        found = {what: [] for what in several}
        for (what, _, _), code in zip(wanted, codes):
            found[what].append(code)
        return found

    def read_many(self, wanted, timeout_ms, at_once, ended=lambda n: None):
        """Codes of reads.  The bytes are right, or there are none and the
        missing range begins where it should; each read ends in time."""
        waiting = list(enumerate(wanted))
        codes, running = {}, {}
        watch, most = Stopwatch(self.server), timeout_ms / 1000 + DEADLINE / 2
        while waiting or running:
            while waiting and len(running) < at_once:
                i, (what, handle, unit) = waiting.pop(0)
                at, length = what.units[unit]
                number = self.number()
                self.send(ipc.SUBMIT_BLOCK_READ, number,
                          ipc.fixed(1, handle) + ipc.u(2, at) +
                          ipc.u(3, length) + ipc.u(4, timeout_ms))
                running[number] = i, what, unit, time.monotonic()
            kind, number, fields = self.receive()
            if kind == ipc.ACK:
                assert fields.get(1, 0) == 0, fields
            elif kind == ipc.COMPLETE:
                i, what, unit, began = running.pop(number)
                # Nothing hangs.
                took = time.monotonic() - began
                assert took < most or took - watch.waited() < most
                codes[i] = self.judge(what, unit, fields)
                ended(len(codes))
        return [codes[i] for i in range(len(wanted))]

    def stream(self, what, size=300000, timeout_ms=1000 * DEADLINE):
        """Reads a content from begin to end; all of it comes, and right."""
        handle = self.open_content(what.info)
        at = 0
        while True:
            number = self.submit(
                ipc.SUBMIT_STREAM_READ, ipc.fixed(1, handle) +
                ipc.u(3, size) + ipc.u(4, timeout_ms))
            code, offset, octets = self.result(number)
            if code == NO_MORE:
                break
            assert (code, offset) == (0, at)
            assert octets == what.octets[at:at + len(octets)]
            at += len(octets)
        assert at == len(what.octets)
        self.call(ipc.CONTENT_CLOSE, ipc.fixed(1, handle))

    def judge(self, what, unit, fields):
        code, offset = fields.get(1, 0), fields.get(3, 0)
        at, length = what.units[unit]
        size = fields.get(2, 0)
        octets = fields.get(6, b"")
        if 5 in fields:
            where = ipc.decode(fields[5]).get(1, 0)
            octets = self.area[where:where + size]
            self.send(ipc.RETURN, 0, fields[5])
        if code == 0:
            assert (offset, size) == (at, length)
            assert octets == what.unit(unit), "wrong bytes"
        else:
            assert code in (MISSING_DATA, TIMEOUT), code
            assert octets == b""
            assert offset == at and size > 0
        return code

    def fetch(self, what, timeout_ms=1000 * DEADLINE):
        """Gets a content whole, what is missing from the origin; how many
        bytes those were."""
        handle = self.open_content(what.info)
        codes = self.read_units(what, timeout_ms, handle=handle)
        from_origin = 0
        for unit, code in enumerate(codes):
            if code != 0:
                octets = what.unit(unit)
                from_origin += len(octets)
                assert self.add(ipc.SUBMIT_DATA_ADD, handle, octets,
                                what.units[unit][0]) == (0, 0)
        self.call(ipc.CONTENT_CLOSE, ipc.fixed(1, handle))
        return from_origin
