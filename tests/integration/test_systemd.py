# SPDX-License-Identifier: BSD-2-Clause
"""The units under a real systemd: socket activation, READY, reload, watchdog,
restart, the sandbox, the journal."""

import json
import os
import pathlib
import tempfile

import pytest

import boot
from conftest import BUILD, ROOT

LIMIT = 100

# Port 80 is opened when the mode wants it.
CAP_NET_BIND_SERVICE = 10


def seen_inside(files, script):
    """What the script, one of those beside this file, sees in a container with
    these files."""
    if os.environ.get("SAN"):
        pytest.skip("sanitizers do not work in the sandbox")
    reason = boot.missing()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="peerdist-") as name:
        results = pathlib.Path(name)
        status = boot.run(files, f"/usr/bin/python3 /{script}", name, LIMIT,
                          [f"{BUILD}:/build"])
        texts = {f.name: f.read_text(errors="replace")
                 for f in results.iterdir()}
    if "out" not in texts and "console" in texts:
        # The container itself did not come up: not ours to judge.
        pytest.skip("no container here: " + texts["console"][-300:])
    assert status == 0, texts
    return json.loads(texts["out"])


def units(*scripts):
    service = (ROOT / "systemd/peerdistd.service").read_text()
    assert "/usr/sbin/peerdistd" in service
    etc = "etc/systemd/system/"
    return {
        etc + "peerdistd.service": service.replace(
            "/usr/sbin/peerdistd", "/build/peerdistd"),
        # So that the test need not wait for half a minute.
        etc + "peerdistd.service.d/watchdog.conf":
            "[Service]\nWatchdogSec=1\nRestartSec=100ms\n",
        etc + "peerdistd.socket":
            (ROOT / "systemd/peerdistd.socket").read_text(),
        "etc/sysusers.d/peerdistd.conf":
            (ROOT / "systemd/peerdistd.sysusers").read_text(),
        "etc/peerdist/peerdistd.conf": "[DataCache]\nMaxSize = 16M\n",
        "etc/passwd-of-test": "a long passphrase of a test",
        **{name: (ROOT / "tests/integration" / name).read_text()
           for name in ("inside.py", "ipc.py", "content.py", *scripts)},
    }


@pytest.fixture(scope="module")
def seen():
    return seen_inside(units(), "inside.py")


def test_users(seen):
    assert seen["sysusers"] == 0
    assert seen["uid"] > 0


def test_socket_activation(seen):
    assert seen["socket start"] == "0"
    assert seen["before"] == "inactive"
    assert seen["socket"] == [0, "0o666"]
    assert seen["first"]["listeners"][0]["from"] == "systemd"


def test_ready(seen):
    assert seen["active"] == "active"
    assert seen["main pid"] == seen["first"]["pid"]
    assert seen["first"]["status"] == "available"
    assert seen["first"]["store"]["max_bytes"] == 16 << 20


def test_sandbox(seen):
    facts = seen["facts"]
    assert facts["Uid"].split() == [str(seen["uid"])] * 4
    assert int(facts["CapBnd"], 16) == 1 << CAP_NET_BIND_SERVICE
    assert int(facts["CapEff"], 16) == 1 << CAP_NET_BIND_SERVICE
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    assert seen["key"] == [seen["uid"], "0o600"]
    assert seen["state"] == [seen["uid"], "0o700"]


def test_modes(seen):
    modes = seen["modes"]
    assert modes["before"] == "ConnectionRefusedError"
    there = modes["distributed"]
    assert there["answer"] == 404
    retrieval = there["status"]["listeners"][1]
    assert retrieval["address"] == "[::]:80"
    assert "problem" not in retrieval
    assert there["status"]["discovery"]["running"]
    assert there["status"]["discovery"]["hears_ipv4"]
    assert modes["local"]["answer"] == "ConnectionRefusedError"
    assert not modes["local"]["status"]["discovery"]["running"]


def test_reload(seen):
    assert seen["reload"] == "0"
    assert seen["disabled"] == "disabled"
    assert seen["reload again"] == "0"
    assert seen["enabled"] == "available"


def test_stores(seen):
    """All that is written can be, in the sandbox, and is there afterwards."""
    assert seen["store"]["added"] == [0, 0]
    assert not seen["store"]["published"]["failed"]
    assert seen["store"]["size"]["max_bytes"] == 24 << 20
    assert seen["restart"] == "0"
    assert seen["cache"] == [seen["uid"], "0o700"]
    for stored in (seen["stored"], seen["stored after kill"]):
        assert stored["read"] == [0, True]
        [row] = stored["published"]
        assert row["uid"] == 0 and row["watched"]
        assert stored["verified"]["blocks"] >= 1
        assert stored["verified"]["rotten"] == 0
        assert stored["max bytes"] == 24 << 20
        assert stored["secret"] == seen["store"]["secret"]


def test_restart_after_kill(seen):
    assert seen["after kill"] not in (0, seen["restarted"])


def test_watchdog(seen):
    assert seen["after stop"] not in (0, seen["after kill"])
    assert seen["restarts"] >= 2


def test_stop(seen):
    assert seen["stop"] == "0"
    assert (seen["result"], seen["exit"]) == ("success", "0")


def test_journal_fields(seen):
    assert seen["ready events"] >= 3
    assert seen["stopped events"] == ["Stopped"]
