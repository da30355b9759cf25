# SPDX-License-Identifier: BSD-2-Clause
"""peerdistctl peers, probe, explain and mode, with a real daemon; the peer is
fake_peer.py."""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time

import pytest

import content
import ipc
from conftest import CTL, DEADLINE, OTHER_UID, ROOT, as_uid, needs_root, run
from test_ctl import FAILED, LOCKED, NOT_FOUND, OK, PERMISSION, USAGE

BLOCK = content.BLOCK
# Nobody else is asked, and nobody's port is taken.
ALONE = {"Network__Interfaces": "lo", "Network__RetrievalListen": "127.0.0.1:0"}
ID = "3F" * 32


@pytest.mark.parametrize("args", [
    ["peers"], ["peers", "nope"], ["peers", "ls", "x"], ["peers", "forgive"],
    ["peers", "forgive", "peer.example"], ["peers", "forgive", "10.0.0.1:x"],
    ["peers", "forgive", "10.0.0.1", "10.0.0.2"],
    ["peers", "forgive", "[fe80::1"], ["peers", "forgive", "1" * 300],
    ["probe"], ["probe", "3f"], ["probe", ID[1:]], ["probe", ID + "3f"],
    ["probe", ID[:-1] + "g"], ["probe", ID, "--version", "3"],
    ["probe", ID, ID], ["explain"], ["explain", "a", "b"], ["mode"],
    ["mode", "nope"], ["mode", "get", "x"], ["mode", "set"],
    ["mode", "set", "none"], ["mode", "set", "local", "local"]])
def test_usage(folder, args):
    result = folder.ctl(*args)
    assert (result.code, result.out) == (USAGE, "")
    assert "Usage: peerdistctl" in result.err


@pytest.mark.parametrize("args", [
    ["mode", "set", "hosted-client"], ["mode", "set", "hosted-server"],
    ["mode", "set", "hybrid"]])
def test_not_yet(folder, args):
    result = folder.ctl(*args)
    assert (result.code, result.out) == (USAGE, "")
    assert "not in this release" in result.err


# The mode.

def test_mode(folder, daemons):
    folder.write(**ALONE)
    daemon = daemons().start()
    first = folder.json("mode", "get")
    assert (first["mode"], first["origin"]) == ("local", "built-in")
    assert folder.json("mode", "set", "distributed")["mode"] == "distributed"
    assert folder.status()["mode"] == "distributed"
    shown = folder.ctl("mode", "get")
    assert shown.code == OK
    assert "distributed" in shown.out and "settings.conf" in shown.out
    assert daemon.stop() == 0
    daemons().start()
    assert folder.json("mode", "get")["mode"] == "distributed"
    assert folder.ctl("mode", "set", "local").code == OK
    assert folder.status()["mode"] == "local"


def test_mode_of_a_file_gives_way(folder, daemon):
    folder.write(**ALONE, Service__Mode="distributed")
    daemon.reload()
    got = folder.json("mode", "get")
    assert got["mode"] == "distributed"
    assert str(folder.config) in got["origin"]
    assert folder.json("mode", "set", "local")["mode"] == "local"
    daemon.reload()
    assert folder.json("mode", "get")["mode"] == "local"


def test_mode_of_policy_stays(folder, daemon):
    folder.policy("[Service]\nMode = local\n")
    daemon.reload()
    result = folder.ctl("mode", "set", "distributed")
    assert result.code == LOCKED
    assert "policy" in result.err
    assert folder.json("mode", "get")["mode"] == "local"


def test_mode_of_an_option_stays(folder, daemons):
    daemons("--set", "Service.Mode=local").start()
    assert folder.ctl("mode", "set", "distributed").code == LOCKED


@needs_root
def test_others_only_look(folder, daemon):
    # Somebody without a name has nobody's groups.
    other = as_uid(OTHER_UID)
    assert folder.json("mode", "get", prefix=other)["mode"] == "local"
    assert folder.json("peers", "ls", prefix=other)["peers"] == []
    for args in (["mode", "set", "distributed"], ["probe", ID],
                 ["peers", "forgive", "127.0.0.1"]):
        result = folder.ctl(*args, prefix=other)
        assert (result.code, result.out) == (PERMISSION, "")


# Who has a segment.

def test_probe_needs_a_mode_that_asks(folder, daemon):
    result = folder.ctl("probe", ID, "--version", "1")
    assert (result.code, result.out) == (FAILED, "")
    assert "the mode is local" in result.err
    result = folder.ctl("--json", "probe", ID)
    assert (result.code, result.err) == (FAILED, "")
    assert "local" in result.json["error"]["message"]
    folder.policy("[Service]\nEnable = no\n")
    daemon.reload()
    assert "is disabled" in folder.ctl("probe", ID).err


def test_probe_in_an_empty_branch(folder, daemons):
    folder.write(**ALONE, Service__Mode="distributed")
    daemons().start()
    first = folder.ctl("--json", "probe", ID)
    assert first.code == NOT_FOUND
    assert (first.json["state"], first.json["asked"]) == ("nobody", True)
    assert first.json["id"] == ID.lower()
    again = folder.ctl("probe", ID, "--version", "2")
    assert again.code == NOT_FOUND
    assert "a moment ago" in again.out


@contextlib.contextmanager
def service_that_says(folder, document):
    """One client is told this, whatever he asks."""
    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(DEADLINE)
            received = b""
            while len(received) < 17:  # HELLO
                received += connection.recv(65536)
            text = json.dumps({"v": 1, **document}).encode()
            connection.sendall(
                ipc.hello(features=0) + ipc.frame(
                    ipc.ADMIN_TEXT, 1, ipc.data(2, text)))
            while connection.recv(65536):
                pass

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder.socket))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(DEADLINE)
        assert not thread.is_alive()


HOSTS = [{"address": "192.0.2.7:80", "blocks": "all", "delay_ms": 12},
         {"address": "[fe80::1%3]:80", "blocks": 12, "age_ms": 3600000,
          "delay_ms": 64}]


def test_probe_shows_who_answered(folder):
    with service_that_says(folder, {"state": "found", "asked": True,
                                    "peers": HOSTS}):
        result = folder.ctl("probe", ID)
    assert (result.code, result.err) == (OK, "")
    head, first, second = result.out.splitlines()
    assert head.split() == ["address", "blocks", "delay", "age"]
    assert first.split() == ["192.0.2.7:80", "all", "0.012", "s", "-"]
    assert second.split() == ["[fe80::1%3]:80", "12", "0.064", "s", "1h",
                              "00m"]


@pytest.mark.parametrize("asked, says", [
    (True, "nobody answered\n"), (False, "a moment ago")])
def test_probe_that_nobody_answers(folder, asked, says):
    with service_that_says(folder, {"state": "nobody", "asked": asked,
                                    "peers": []}):
        result = folder.ctl("probe", ID.lower())
    assert (result.code, result.err) == (NOT_FOUND, "")
    assert says in result.out


def test_probe_that_nobody_answers_as_json(folder):
    with service_that_says(folder, {"state": "nobody", "asked": True,
                                    "peers": []}):
        result = folder.ctl("--json", "probe", ID)
    assert result.code == NOT_FOUND
    assert result.json["state"] == "nobody"


def test_status_shows_what_is_wrong(folder):
    listeners = [{"name": "control", "address": "/run/s", "from": "settings"},
                 {"name": "retrieval", "address": "[::]:80",
                  "from": "settings", "problem": "port \x1b in use"}]
    with service_that_says(folder, {
            "mode": "distributed", "listeners": listeners,
            "discovery": {"interfaces": ["eth0", "eth1"], "probes_sent": 7,
                          "lost": 0}, "server": {"requests": 9}}):
        result = folder.ctl("status")
    assert (result.code, result.err) == (OK, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert ["name", "address", "from", "problem"] in lines
    assert ["control", "/run/s", "settings", "-"] in lines
    assert "port \\x1b in use" in result.out
    assert ["interfaces", "eth0", "eth1"] in lines
    assert ["probes", "sent", "7"] in lines
    assert ["lost", "0"] not in lines and ["server"] not in lines


# Where content came from.

class Content:
    """A file, its content information, and who asks for it."""

    def __init__(self, folder, size, version):
        self.folder = folder
        self.file = folder.path / "content"
        self.ci = folder.path / "content.ci"
        self.octets = os.urandom(size)
        self.file.write_bytes(self.octets)
        made = run([CTL, "-q", "ci", "make", self.file, "--version", version,
                    "-o", self.ci])
        assert made.code == OK

    def explain(self):
        return self.folder.json("explain", self.ci)

    def text(self):
        result = self.folder.ctl("explain", self.ci)
        assert result.code == OK, result.err
        return result.out


@contextlib.contextmanager
def client_of(folder, what):
    client = ipc.Client(folder.socket, DEADLINE)
    try:
        yield client, client.open_content(what.ci.read_bytes())
    finally:
        client.close()


def test_explain_says_what_is_wanted(folder, daemon):
    result = folder.ctl("explain", folder.config)
    assert (result.code, result.out) == (FAILED, "")
    assert "not content information" in result.err
    assert "ci make" in result.err
    missing = folder.ctl("--json", "explain", folder.path / "nothing")
    assert missing.code == FAILED
    assert "No such file" in missing.json["error"]["message"]


@pytest.mark.parametrize("version", [1, 2])
def test_explain_content_of_this_host(folder, daemons, version):
    daemon = daemons().start()
    what = Content(folder, 3 * BLOCK + 100, version)
    before = what.explain()
    total = len(what.octets)
    assert before["version"] == version
    assert before["bytes"] == {"described": total, "missing": total,
                               "peers": 0, "application": 0, "earlier": 0}
    assert {s["reason"] for s in before["segments"]} == {"untried"}
    assert "has not been asked for it" in what.text()
    with client_of(folder, what) as (client, handle):
        assert client.add(ipc.SUBMIT_DATA_ADD, handle,
                          what.octets) == (0, 0)
    after = what.explain()
    assert after["bytes"]["missing"] == 0
    assert after["bytes"]["application"] == total
    shown = folder.json("ci", "show", what.ci)["segments"]
    assert [(s["offset"], s["length"], s["id"]) for s in shown] == [
        (s["offset"], s["length"], s["id"]) for s in after["segments"]]
    assert all(s["held"] == s["blocks"] and s["reason"] == "complete"
               for s in after["segments"])
    assert sum(s["blocks"] for s in after["segments"]) >= 2
    text = what.text()
    assert "application" in text and "100.0 %" in text
    assert after["segments"][0]["id"][:16] in text
    # What is not remembered is told as that.
    assert daemon.stop() == 0
    daemons().start()
    again = what.explain()
    assert again["bytes"]["earlier"] == total
    assert again["bytes"]["application"] == 0


def explain_one(folder, row):
    """A segment of one block, of which the service says this."""
    path = folder.path / "one.ci"
    path.write_bytes(content.v1(content.Segment(b"x" * 1000)))
    with service_that_says(folder, {"mode": "distributed",
                                    "segments": [{"id": "ab" * 32, **row}]}):
        result = folder.ctl("explain", path)
    assert (result.code, result.err) == (OK, "")
    return result.out


@pytest.mark.parametrize("trouble, says, remedy", [
    ("mode", "the mode let nobody be asked", "mode set distributed"),
    ("no-source", "there was nobody to ask", "[Retrieval] Peers"),
    ("nobody", "nobody in the branch answered", "UDP port 3702"),
    ("empty", "did not have it after all", "trying again"),
    ("timeout", "did not answer in time", "RequestTimeout"),
    ("refused", "could not be reached", "AllowPeers"),
    ("bad", "answer was wrong", "peers forgive"),
    ("unstored", "could not be kept", "cache show")])
def test_explain_says_why(folder, trouble, says, remedy):
    out = explain_one(folder, {"blocks": "", "history": {
        "trouble": trouble, "trouble_with": "192.0.2.9:80"}})
    table, below = out.split("\n\n", 1)
    assert says in table and "192.0.2.9:80" in table
    assert says in below and remedy in " ".join(below.split())
    assert "1000 B of 1 segment:" in below
    assert all(len(line) <= 80 for line in below.splitlines())


def test_explain_names_sources(folder):
    sources = [{"address": "192.0.2.7:80", "blocks": 1},
               {"address": "192.0.2.8\x1b", "blocks": 5}]
    out = explain_one(folder, {"blocks": "0", "history": {
        "from_peers": 1, "sources": sources, "trouble": "none"}})
    assert "192.0.2.7:80, 192.0.2.8\\x1b (5 blocks)\n" in out
    assert "1 of 1" in out


@pytest.mark.parametrize("answer", [
    {}, {"segments": []}, {"segments": [{}]}, {"segments": "x"},
    {"segments": [{"id": "ab"}, {"id": "cd"}]}])
def test_explain_without_an_answer(folder, answer):
    path = folder.path / "one.ci"
    path.write_bytes(content.v1(content.Segment(b"x" * 1000)))
    with service_that_says(folder, answer):
        result = folder.ctl("--json", "explain", path)
    assert result.code == FAILED
    assert "not understood" in result.json["error"]["message"]


def test_explain_many_segments(folder, daemon):
    """More than fit one request."""
    count = 2500
    info = content.v2([content.description2(b"%d" % i)
                       for i in range(count)], length=0)
    path = folder.path / "many.ci"
    path.write_bytes(info)
    explained = folder.json("explain", path)
    assert len(explained["segments"]) == count
    assert len({s["id"] for s in explained["segments"]}) == count
    shown = folder.json("ci", "show", path)["segments"]
    assert [s["id"] for s in shown] == [
        s["id"] for s in explained["segments"]]
    assert len(folder.ctl("explain", path).out.splitlines()) > count


def test_explain_a_part(folder, daemon):
    """Only the described range counts."""
    octets = os.urandom(5 * BLOCK)
    part = content.partial(octets, 2, os.urandom(32))
    path = folder.path / "part.ci"
    path.write_bytes(part)
    explained = folder.json("explain", path)
    assert explained["bytes"]["described"] == 2 * BLOCK
    assert explained["segments"][0]["blocks"] == 2
    assert "described in part only" in folder.ctl("explain", path).out


# Peers.

class Peer:
    def __init__(self, path, what, mode):
        self.port_file = path / "port"
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/integration/fake_peer.py"),
             "--port-file", str(self.port_file), "--mode", mode,
             "--content", str(what.file), "--ci", str(what.ci)])

    @property
    def address(self):
        end = time.monotonic() + DEADLINE
        while not self.port_file.exists():
            assert self.process.poll() is None and time.monotonic() < end
            select.select([], [], [], 0.005)
        return "127.0.0.1:" + self.port_file.read_text().strip()

    def close(self):
        self.process.terminate()
        self.process.wait(DEADLINE)


@contextlib.contextmanager
def peer_of(folder, what, mode="good"):
    peer = Peer(folder.path, what, mode)
    try:
        folder.write(**ALONE, Service__Mode="distributed",
                     Retrieval__Peers=peer.address,
                     Retrieval__PeerStrikes=1,
                     Retrieval__RequestTimeout="300ms")
        yield peer
    finally:
        peer.close()


def read_all(folder, what, timeout_ms):
    """The codes of reads of all blocks, one after the other."""
    codes = []
    with client_of(folder, what) as (client, handle):
        for at in range(0, len(what.octets), BLOCK):
            number = client.read(
                handle, timeout_ms, min(BLOCK, len(what.octets) - at), at)
            codes.append(client.result(number)[0])
    return codes


def test_blocks_from_a_peer(folder, daemons):
    what = Content(folder, 3 * BLOCK, 1)
    with peer_of(folder, what) as peer:
        daemons().start()
        assert set(read_all(folder, what, 1000 * DEADLINE)) == {0}
        row, = folder.json("peers", "ls")["peers"]
        assert row["address"] == peer.address
        assert row["fixed"] is True
        assert (row["blocks"], row["strikes"], row["in_flight"]) == (3, 0, 0)
        assert row["bytes"] >= 3 * BLOCK
        explained = what.explain()
        assert explained["bytes"]["peers"] == 3 * BLOCK
        assert explained["bytes"]["missing"] == 0
        segment, = explained["segments"]
        assert segment["history"]["sources"] == [
            {"address": peer.address, "blocks": 3}]
        text = what.text()
        assert f"{peer.address} (3 blocks)" in text
        shown = folder.ctl("peers", "ls").out.splitlines()
        assert shown[0].split()[:3] == ["address", "fixed", "in"]
        assert shown[1].startswith(peer.address)


def test_a_peer_that_lies_is_forgiven(folder, daemons):
    what = Content(folder, BLOCK, 1)
    with peer_of(folder, what, "wrong") as peer:
        daemons().start()
        assert read_all(folder, what, 2000) != [0]
        row, = folder.json("peers", "ls")["peers"]
        assert row["quarantine_ms"] > 0 and row["bad"] > 0
        segment, = what.explain()["segments"]
        assert segment["reason"] == "bad"
        assert folder.ctl("peers", "forgive", "127.0.0.2").code == NOT_FOUND
        port = int(peer.address.split(":")[1])
        other = f"127.0.0.1:{port ^ 1}"
        assert folder.ctl("peers", "forgive", other).code == NOT_FOUND
        forgiven = folder.ctl("peers", "forgive", "127.0.0.1")
        assert (forgiven.code, forgiven.out) == (OK, "forgiven\n")
        row, = folder.json("peers", "ls")["peers"]
        assert row["quarantine_ms"] == row["strikes"] == 0
        assert folder.json("peers", "forgive", peer.address)["forgiven"] == 1


@pytest.mark.parametrize("mode, reason", [
    ("silent", "timeout"), ("http500", "refused"), ("empty", "empty")])
def test_why_not(folder, daemons, mode, reason):
    what = Content(folder, BLOCK, 1)
    with peer_of(folder, what, mode) as peer:
        daemons().start()
        assert read_all(folder, what, 2000) != [0]
        segment, = what.explain()["segments"]
        assert segment["reason"] == reason
        assert segment["history"]["from_peers"] == 0
        assert peer.address in folder.ctl("peers", "ls").out


def test_status(folder, daemon):
    status = folder.status()
    uploads = status["uploads"]
    assert uploads["running"] == uploads["given_up"] == uploads["bytes"] == 0
    assert "uploads     0 of " in folder.ctl("status").out
    names = [listener["name"] for listener in status["listeners"]]
    assert "control" in names
    assert str(folder.socket) in folder.ctl("status").out
