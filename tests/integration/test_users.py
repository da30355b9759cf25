# SPDX-License-Identifier: BSD-2-Clause
"""Sessions, operations, and who may see, cancel and manage what."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest

import ipc
from conftest import (CTL, DEADLINE, OTHER_UID, ROOT, as_uid, needs_root, run)

PERMISSION, LOCKED, NOT_FOUND = 4, 5, 6
ADMIN_GID = 54321
DISABLED_BY_POLICY = 1260
INVALIDATED = 4057


@pytest.fixture
def silent_peer():
    """Takes connections into its backlog and never answers."""
    with socket.socket() as peer:
        peer.bind(("127.0.0.1", 0))
        peer.listen(64)
        yield f"127.0.0.1:{peer.getsockname()[1]}"


@pytest.fixture
def info(folder):
    """Content information of something that nobody has."""
    source = folder.path / "source"
    source.write_bytes(os.urandom(100000))
    out = folder.path / "source.ci"
    assert folder.ctl("-q", "ci", "make", source, "-o", out).code == 0
    return out.read_bytes()


@pytest.fixture
def waiting_daemon(folder, daemons, silent_peer):
    """Reads of what is not cached wait for a peer that says nothing."""
    folder.write(Service__Mode="distributed", Retrieval__Peers=silent_peer,
                 Retrieval__RequestTimeout="10min",
                 Access__AdminGroup=ADMIN_GID)
    return daemons().start()


@pytest.fixture
def client(folder, waiting_daemon):
    client = ipc.Client(folder.socket, DEADLINE)
    yield client
    client.close()


@contextlib.contextmanager
def sessions_of(folder, uid, count=1):
    """Another user's sessions, in a process of his."""
    # The sources may lie where he cannot go.
    script = folder.path / "ipc.py"
    script.write_bytes((ROOT / "tests/integration/ipc.py").read_bytes())
    process = subprocess.Popen(
        [*as_uid(uid), "/usr/bin/python3", "-E", str(script),
         str(folder.socket), str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(DEADLINE)


def settle(folder, member, count, *args):
    """The daemon handles one frame after the other: what a finished client
    did is seen by the next request.  Its end needs a look or two."""
    for _ in range(10000):
        found = folder.json(*args)[member]
        if len(found) == count:
            return found
    pytest.fail(f"never {count} {member}: {found}")


def test_sessions(folder, client):
    found = folder.json("sessions")["sessions"]
    assert len(found) == 1
    assert found[0]["pid"] == os.getpid()
    assert found[0]["uid"] == os.geteuid()
    assert found[0]["program"] == "ipc.py"
    assert found[0]["operations"] == 0
    assert "ipc.py" in folder.ctl("sessions").out
    client.close()
    settle(folder, "sessions", 0, "sessions")


def test_program_name_cannot_harm(folder, waiting_daemon):
    evil = ipc.Client(folder.socket, DEADLINE, name="\x1b[2J\nroot\u009b")
    out = folder.ctl("sessions").out
    assert "\x1b" not in out and "\u009b" not in out
    assert len(out.splitlines()) == 2
    assert folder.json("sessions")["sessions"]
    evil.close()


def test_operations_and_cancel(folder, client, info):
    handle = client.open_content(info)
    first, second = client.read(handle), client.read(handle, offset=65536,
                                                     length=1000)
    found = folder.json("operations")["operations"]
    assert len(found) == 2
    assert {o["uid"] for o in found} == {os.geteuid()}
    assert folder.json("operations", "--uid", str(os.geteuid()))[
        "operations"] != []
    session = folder.json("sessions")["sessions"][0]
    assert session["operations"] == 2
    opid = f"{session['session']}:{first:x}"
    assert opid in [o["id"] for o in found]
    assert opid in folder.ctl("operations").out
    result = folder.ctl("cancel", opid)
    assert (result.code, result.out) == (0, "cancelled\n")
    assert client.complete() == (first, ipc.ABORTED)
    # Done is done.
    assert folder.ctl("cancel", opid).code == NOT_FOUND
    assert len(folder.json("operations")["operations"]) == 1
    # Another session's number does not find it.
    assert folder.ctl("cancel", f"{session['session'] + 1}:{second:x}"
                      ).code == NOT_FOUND
    assert folder.status()["counters"]["operations_cancelled"] == 1


def test_pending_operations_end_with_the_service(waiting_daemon, client, info):
    pending = client.read(client.open_content(info))
    assert waiting_daemon.stop() == 0
    assert client.complete() == (pending, INVALIDATED)


def test_pending_operations_end_by_policy(folder, waiting_daemon, client,
                                          info):
    pending = client.read(client.open_content(info))
    folder.write(Service__Enable="no")
    waiting_daemon.reload()
    assert client.complete() == (pending, INVALIDATED)
    answer = client.call(ipc.CONTENT_OPEN, ipc.data(1, b"\0" * 16))
    assert answer[1] == DISABLED_BY_POLICY
    folder.write(Service__Enable="yes")
    waiting_daemon.reload()
    assert folder.status()["status"] == "available"


def test_lost_client(folder, client, info):
    client.read(client.open_content(info))
    client.close()
    settle(folder, "operations", 0, "operations")
    assert folder.status()["counters"]["operations_abandoned"] == 1


@needs_root
def test_two_users(folder, client, info):
    other = as_uid(OTHER_UID)
    handle = client.open_content(info)
    pending = client.read(handle)
    session = folder.json("sessions")["sessions"][0]["session"]
    with sessions_of(folder, OTHER_UID, 2):
        assert len(folder.json("sessions")["sessions"]) == 3
        mine = folder.json("sessions", prefix=other)["sessions"]
        assert [s["uid"] for s in mine] == [OTHER_UID] * 2
        assert folder.json("operations", prefix=other)["operations"] == []
        assert folder.ctl("operations", "--uid", "0",
                          prefix=other).code == PERMISSION
        assert folder.ctl("cancel", f"{session}:{pending:x}",
                          prefix=other).code == NOT_FOUND
        assert len(folder.json("operations")["operations"]) == 1
    settle(folder, "sessions", 1, "sessions")


@needs_root
def test_admin_group(folder, client, info):
    plain = as_uid(OTHER_UID)
    admin = as_uid(OTHER_UID, ADMIN_GID)
    handle = client.open_content(info)
    pending = client.read(handle)
    session = folder.json("sessions")["sessions"][0]["session"]
    assert folder.ctl("reload", prefix=plain).code == PERMISSION
    assert folder.ctl("reload", prefix=admin).code == 0
    assert folder.ctl("status", prefix=plain).code == 0
    assert len(folder.json("sessions", prefix=admin)["sessions"]) == 1
    assert folder.ctl("cancel", f"{session}:{pending:x}",
                      prefix=admin).code == 0
    assert client.complete() == (pending, ipc.ABORTED)


@needs_root
def test_client_groups(folder, daemons):
    folder.write(Access__ClientGroups="33 34")
    daemons().start()
    script = (
        "import sys, ipc; c = ipc.Client(sys.argv[1]);"
        "print(c.call(ipc.CONTENT_OPEN, ipc.data(1, bytes(16))).get(1, 0))")
    (folder.path / "ipc.py").write_bytes(
        (ROOT / "tests/integration/ipc.py").read_bytes())

    def answer(*groups):
        return run([*as_uid(OTHER_UID, *groups), "/usr/bin/python3", "-c",
                    script, folder.socket],
                   env={"PYTHONPATH": str(folder.path),
                        "PYTHONDONTWRITEBYTECODE": "1"}).out.strip()

    assert answer() == str(DISABLED_BY_POLICY)
    assert answer(35) == str(DISABLED_BY_POLICY)
    assert answer(34) == "0"
    # A supplementary group among many counts, too.
    assert answer(*range(1000, 1100), 33) == "0"


@needs_root
def test_overflow_uid_is_refused(folder, daemon):
    # Whoever has no number here could be anybody.
    with open("/proc/sys/kernel/overflowuid") as text:
        stranger = as_uid(int(text.read()))
    assert folder.ctl("status", prefix=stranger).code != 0
    assert folder.status()["status"] == "available"


def test_quota_of_sessions(folder, daemons):
    folder.write(Limits__PerUidSessions=2)
    daemons().start()
    clients = [ipc.Client(folder.socket, DEADLINE) for _ in range(3)]
    codes = [c.call(ipc.CONTENT_OPEN, ipc.data(1, bytes(16))).get(1, 0)
             for c in clients]
    assert codes == [0, 0, 1450]
    assert len(folder.json("sessions")["sessions"]) == 2
    for client in clients:
        client.close()
