# SPDX-License-Identifier: BSD-2-Clause
"""The first release's library and tool with this daemon, and the reverse.  The
old ones are built from the repository, once for each build folder."""

import fcntl
import io
import os
import re
import subprocess
import sys
import tarfile

import pytest

import content
import ipc
from conftest import (BUILD, CTL, DAEMON, DEADLINE, ROOT, Daemon, Folder, run,
                      temporary_folder)

sys.path.append(str(ROOT / "tests/crash"))

import world  # noqa: E402

COMMIT = "57c20cd80563b76e037d3020e383412dff9d8284"
# What the demonstration moves about.
BYTES = 3000001
PROGRAMS = ("peerdistd", "peerdistctl", "tests/demo/publisher",
            "tests/demo/consumer")


def archive():
    """The old sources, or None when the clone does not go back so far."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), "archive", COMMIT],
                              capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def build(folder, sources):
    with tarfile.open(fileobj=io.BytesIO(sources)) as tar:
        tar.extractall(folder)
    env = {k: v for k, v in os.environ.items()
           if k in ("PATH", "HOME", "LANG", "CC")}
    done = subprocess.run(
        ["make", "-s", "-j2", "B=build", "build",
         *(f"build/{p}" for p in PROGRAMS)], cwd=folder, env=env, check=False,
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def old():
    """The folder of the old sources, built."""
    folder = BUILD / f"old-{COMMIT[:7]}"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            sources = archive()
            if sources is None:
                pytest.skip("the repository does not have the first release")
            build(folder, sources)
            (folder / "built").touch()
    return folder


def demonstrate(sources, build_folder, daemon, path):
    """The demonstration of one release with the daemon of another."""
    wrapper = path / "daemon"
    wrapper.write_text(f"""#!/bin/sh
mkdir -p "$2.d" "$(dirname "$2")/hash"
printf '[HashCache]\\nDirectory = %s/hash\\n' "$(dirname "$2")" >"$2.d/h.conf"
exec {daemon} "$@"
""")
    wrapper.chmod(0o755)
    done = subprocess.run(
        ["/usr/bin/python3", str(sources / "tests/demo/run")],
        # Daemons of the first releases serve nobody.
        env=dict(os.environ, B=str(build_folder), PEERDISTD=str(wrapper),
                 DEMO_BYTES=str(BYTES), DEMO_ALONE="1"),
        capture_output=True, text=True, check=False, timeout=4 * DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^(\d+) passed, 0 failed", done.stdout, re.M)
    assert int(passed[1]) >= 9, done.stdout


def test_old_library_with_new_daemon(old):
    with temporary_folder() as path:
        demonstrate(old, old / "build", DAEMON, path)


def test_new_library_with_old_daemon(old):
    with temporary_folder() as path:
        demonstrate(ROOT, BUILD, old / "build/peerdistd", path)


QUESTIONS = (["status"], ["sessions"], ["operations"], ["config", "show"],
             ["config", "show", "--origin"], ["reload"])


def ask_all(folder, tool):
    """What both releases have."""
    answered = 0
    for question in QUESTIONS:
        for form in ([], ["--json"]):
            result = run([tool, "--socket", folder.socket, *form, *question])
            if result.code == 64:
                continue
            assert result.code == 0, (question, result.err)
            answered += 1
    assert answered >= 6


def test_old_tool_with_new_daemon(old, daemon):
    with ipc_session(daemon.folder):
        ask_all(daemon.folder, old / "build/peerdistctl")


def ipc_session(folder):
    """Something to be seen."""
    client = ipc.Client(folder.socket)
    client.publish(b"label", b"x")
    client.open_content(content.v1(content.Segment(b"y")))

    class Session:
        def __enter__(self):
            return client

        def __exit__(self, *_):
            client.close()

    return Session()


class OldDaemon(Daemon):
    def __init__(self, folder, program):
        # The folder's own program is run by env instead.
        super().__init__(folder, prefix=["sh", "-c", (
            f'shift; exec {program} "$@"'), "sh"])


@pytest.fixture
def old_daemon(old):
    with temporary_folder() as path:
        daemon = OldDaemon(Folder(path), old / "build/peerdistd").start()
        yield daemon
        assert daemon.stop() == 0
        daemon.close()


def test_new_tool_with_old_daemon(old_daemon):
    folder = old_daemon.folder
    with ipc_session(folder):
        ask_all(folder, CTL)
        file = folder.path / "file"
        file.write_bytes(b"x")
        for command in (["cache", "show"], ["cache", "ls"],
                        ["--yes", "cache", "flush"],
                        ["cache", "verify"], ["cache", "set-size", "data", "1G"],
                        ["published", "ls"], ["publish", file],
                        ["secret", "fingerprint"]):
            result = folder.ctl(*command)
            # One line that says what is the matter; no usage, no crash.
            assert result.code not in (0, 2) and result.code > 0, command
            assert re.search("does not know", result.err), (
                command, result.err)
            assert result.err.count("\n") == 1, result.err


def test_new_requests_to_old_daemon(old_daemon):
    """Each is answered with 50, and the connection stays."""
    client = ipc.Client(old_daemon.folder.socket)
    for kind in (world.CACHE_ADMIN, world.PUBLISHED_ADMIN, 72):
        assert client.code(kind, ipc.u(1, 1)) == 50
    assert client.call(ipc.STATUS_GET)[3] == 2
    client.close()
