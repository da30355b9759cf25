# SPDX-License-Identifier: BSD-2-Clause
"""Start, stop, the control socket and the server secret."""

import os
import signal
import socket
import stat
import subprocess

import pytest

from conftest import DAEMON, DEADLINE, OTHER_UID, as_uid, needs_root, run


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_start_and_stop(folder, daemons):
    daemon = daemons().start()
    status = folder.status()
    assert status["status"] == "available"
    assert status["mode"] == "local"
    assert status["pid"] == daemon.process.pid
    assert status["listeners"] == [{
        "name": "control", "address": str(folder.socket),
        "from": "settings"}]
    assert status["store"]["max_bytes"] == 64 << 20
    assert mode_of(folder.socket) == 0o666
    assert daemon.stop() == 0
    assert not folder.socket.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_in_order(daemon, number):
    daemon.signal(number)
    daemon.wait_for("STOPPING=1")
    assert daemon.wait() == 0
    assert "Stopped" in daemon.log()


def test_second_daemon_is_refused(folder, daemon, daemons):
    second = daemons().launch()
    assert second.wait() == 1
    assert "another peerdistd uses this folder" in second.log()
    assert folder.status()["pid"] == daemon.process.pid


def test_foreign_socket_is_left_alone(folder, daemons):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder.socket))
        other.listen()
        daemon = daemons().launch()
        assert daemon.wait() == 1
        assert "another program is serving there" in daemon.log()
        assert folder.socket.exists()


def test_start_after_kill(folder, daemons):
    first = daemons().start()
    first.signal(signal.SIGKILL)
    first.wait()
    assert folder.socket.exists()
    daemons().start()
    assert folder.status()["status"] == "available"


def test_missing_socket_folder(folder, daemons):
    folder.write(Service__Socket=folder.path / "none" / "s")
    daemon = daemons().launch()
    assert daemon.wait() == 1
    assert "the folder of the socket cannot be used" in daemon.log()


def test_secret_is_made_and_kept(folder, daemons):
    assert daemons().start().stop() == 0
    key = folder.key.read_bytes()
    assert len(key) == 32
    assert mode_of(folder.key) == 0o600
    assert mode_of(folder.state) == 0o700
    assert os.listdir(folder.state) == ["server.key"]
    assert daemons().start().stop() == 0
    assert folder.key.read_bytes() == key


def test_secret_that_others_read_is_refused(folder, daemons):
    assert daemons().start().stop() == 0
    folder.key.chmod(0o640)
    daemon = daemons().launch()
    assert daemon.wait() == 1
    assert "its permissions let others in" in daemon.log()
    assert not folder.socket.exists()


@needs_root
def test_secret_of_another_user_is_refused(folder, daemons):
    assert daemons().start().stop() == 0
    os.chown(folder.key, OTHER_UID, OTHER_UID)
    daemon = daemons().launch()
    assert daemon.wait() == 1
    assert "it belongs to another user" in daemon.log()


def test_secret_as_link_is_refused(folder, daemons):
    folder.state.mkdir(mode=0o700)
    (folder.path / "elsewhere").write_bytes(b"x" * 32)
    folder.key.symlink_to(folder.path / "elsewhere")
    daemon = daemons().launch()
    assert daemon.wait() == 1
    assert "symbolic link" in daemon.log()


def test_secret_is_never_logged(folder, daemons):
    daemon = daemons("--log-level", "debug").start()
    key = folder.key.read_bytes()
    daemon.stop()
    log = daemon.log_path.read_bytes()
    assert key not in log
    assert key.hex().encode() not in log.lower()


@needs_root
def test_ordinary_user(folder, daemons):
    os.chown(folder.path, OTHER_UID, OTHER_UID)
    daemon = daemons(prefix=as_uid(OTHER_UID))
    os.chown(daemon.notify_path, OTHER_UID, OTHER_UID)
    daemon.start()
    assert folder.status()["status"] == "available"
    assert daemon.stop() == 0


def test_no_core_no_peeking(daemon):
    limits = open(f"/proc/{daemon.process.pid}/limits").read()
    line = next(li for li in limits.splitlines() if "core file" in li)
    assert line.split()[4:6] == ["0", "0"]
    if not os.environ.get("SAN"):
        # Not dumpable: the process belongs to root for everybody.
        assert os.stat(f"/proc/{daemon.process.pid}/mem").st_uid == 0


def activated(folder, fdname):
    command = ["systemd-socket-activate", "--listen", str(folder.socket),
               f"--fdname={fdname}", str(DAEMON), "--config",
               str(folder.config)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def listening(process):
    """systemd-socket-activate says so."""
    for line in process.stderr:
        if "Listening on" in line:
            return
    pytest.fail("not listening")


def test_socket_from_systemd(folder):
    # The socket in the settings is not the one that is served.
    folder.write(Service__Socket=folder.path / "unused.sock")
    process = activated(folder, "control")
    try:
        listening(process)
        status = folder.status()
        assert status["pid"] == process.pid
        assert status["listeners"][0]["from"] == "systemd"
        assert not (folder.path / "unused.sock").exists()
        process.terminate()
        assert process.wait(DEADLINE) == 0
        # It is systemd's: it stays.
        assert folder.socket.exists()
    finally:
        process.kill()
        process.communicate()


def test_watchdog(daemon, daemons, monkeypatch):
    daemon.stop()
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    daemons().start().wait_for("WATCHDOG=1")


def test_closed_standard_descriptors(folder):
    shell = f'exec "{DAEMON}" --config "{folder.config}" --log-level debug ' \
        "0<&- 1>&- 2>&-"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(DEADLINE)
        notify.bind(str(folder.path / "n"))
        process = subprocess.Popen(
            ["sh", "-c", shell],
            env=dict(os.environ, NOTIFY_SOCKET=str(folder.path / "n")))
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            assert folder.status()["status"] == "available"
            # Only root may look there.
            for number in "012" if os.geteuid() == 0 else "":
                link = os.readlink(f"/proc/{process.pid}/fd/{number}")
                assert link == "/dev/null"
            process.terminate()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


def test_help_and_version():
    assert "--dump-config" in run([DAEMON, "--help"]).out
    assert run([DAEMON, "--version"]).out.startswith("peerdistd ")
