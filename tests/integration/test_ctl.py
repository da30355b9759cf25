# SPDX-License-Identifier: BSD-2-Clause
"""peerdistctl: exit codes, JSON, and what needs no service."""

import os
import socket
import subprocess

import pytest

from conftest import BUILD, CTL, ROOT, run

OK, FAILED, USAGE, UNAVAILABLE, PERMISSION = 0, 1, 2, 3, 4
LOCKED, NOT_FOUND, PROBLEMS = 5, 6, 7
COMMANDS = ["status", "sessions", "operations", "cancel", "ci", "config",
            "cache", "publish", "unpublish", "published", "secret", "reload",
            "mode", "peers", "probe", "explain"]


@pytest.mark.parametrize("args", [
    [], ["unknown"], ["hosted", "test"], ["netsh"], ["--nonsense", "status"],
    ["--color", "red", "status"], ["--timeout", "0", "status"],
    ["--timeout", "x", "status"], ["status", "extra"], ["status", "--nope"],
    ["sessions", "extra"], ["operations", "--uid", "x"], ["operations", "x"],
    ["cancel"], ["cancel", "1"], ["cancel", "1:"], ["cancel", ":1"],
    ["cancel", "1:2:3"], ["cancel", "-1:2"], ["cancel", "1:2", "1:3"],
    ["cancel", "99999999999999999999:1"], ["ci"], ["ci", "nope"],
    ["ci", "make"], ["ci", "make", "f", "--version", "3"], ["ci", "show"],
    ["config"], ["config", "nope"], ["config", "show", "x"], ["reload", "x"],
    ["--socket"]])
def test_usage(folder, args):
    result = run([CTL, *args], env={"PEERDIST_SOCKET": str(folder.socket)})
    assert result.code == USAGE
    assert result.out == ""
    assert "peerdistctl" in result.err


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS)])
def test_help(command):
    result = run([CTL, *command, "--help"])
    assert result.code == OK
    assert result.err == ""
    assert result.out.startswith("Usage: peerdistctl")


def test_version():
    assert run([CTL, "--version"]).out.startswith("peerdistctl ")


@pytest.mark.parametrize("args", [
    ["status"], ["sessions"], ["operations"], ["cancel", "1:1"],
    ["config", "show"], ["reload"], ["cache", "show"], ["cache", "ls"],
    ["--yes", "cache", "flush"], ["cache", "verify"], ["published", "ls"],
    ["unpublish", "1"], ["publish", "/etc/passwd"], ["mode", "get"],
    ["mode", "set", "local"], ["peers", "ls"], ["peers", "forgive", "10.0.0.1"],
    ["probe", "00" * 32]])
def test_no_service(folder, args):
    plain = folder.ctl(*args)
    assert (plain.code, plain.out) == (UNAVAILABLE, "")
    assert str(folder.socket) in plain.err
    result = folder.ctl("--json", *args)
    assert (result.code, result.err) == (UNAVAILABLE, "")
    assert result.json["error"]["exit"] == UNAVAILABLE


def test_silent_service(folder):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder.socket))
        silent.listen()
        result = folder.ctl("--timeout", "1", "status")
    assert result.code == UNAVAILABLE
    assert "did not answer in time" in result.err


def test_something_else_answers(folder):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder.socket))
        other.listen()
        # Bytes that are there before the tool has connected.
        pid = os.fork()
        if pid == 0:
            try:
                connection, _ = other.accept()
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9)
                connection.recv(65536)
            finally:
                os._exit(0)
        result = folder.ctl("status")
        os.waitpid(pid, 0)
    assert result.code == UNAVAILABLE


def test_socket_from_the_environment(folder, daemon):
    result = run([CTL, "--json", "status"],
                 env={"PEERDIST_SOCKET": str(folder.socket)})
    assert result.json["pid"] == daemon.process.pid


def test_json_is_all_there_is(folder, daemon):
    for args in (["status"], ["status", "--all"], ["sessions"],
                 ["operations"], ["config", "show"], ["reload"]):
        assert folder.json(*args)["v"] == 1
    assert folder.json("sessions")["sessions"] == []
    assert folder.json("operations")["operations"] == []


def test_text(folder, daemon):
    status = folder.ctl("status")
    assert status.code == OK
    assert "available" in status.out
    assert "operations started" not in status.out
    assert "rebuild left" not in status.out
    assert "] 0.0 %" in status.out
    assert "savings     read from the cache 0 B, fetched" in status.out
    everything = folder.ctl("status", "--all").out
    assert "operations started" in everything and "rebuild left" in everything
    assert folder.ctl("sessions").out == "no sessions\n"
    assert folder.ctl("-q", "sessions").out == ""
    shown = folder.ctl("config", "show", "--origin").out
    assert f"Socket = {folder.socket}   # {folder.config}:2" in shown
    assert "#" not in folder.ctl("config", "show").out
    assert folder.ctl("reload").out == "reloaded\n"
    assert folder.ctl("-q", "reload").out == ""


def test_color(folder, daemon):
    assert "\033[" not in folder.ctl("status").out
    assert "\033[" in folder.ctl("--color", "always", "status").out


def test_cancel_of_nothing(folder, daemon):
    result = folder.ctl("cancel", "1:100000001")
    assert result.code == NOT_FOUND
    assert "no such operation" in result.err


def test_config_check(folder):
    assert folder.ctl("config", "check", folder.config).out == "no problems\n"
    folder.write(Service__Colour="red")
    plain = folder.ctl("config", "check", folder.config)
    assert plain.code == PROBLEMS
    assert "no such setting" in plain.out
    result = folder.ctl("--json", "config", "check", folder.config)
    assert result.code == PROBLEMS
    assert len(result.json["problems"]) == 1
    folder.config.unlink()
    assert folder.ctl("config", "check", folder.config).code == PROBLEMS


# Content information.

def make(folder, size, *args):
    source = folder.path / "source"
    source.write_bytes(bytes(i * 7 % 251 for i in range(size)))
    out = folder.path / "out.ci"
    return out, folder.ctl("ci", "make", source, "-o", out, *args)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("size", [1, 65536, 200000])
def test_ci_make_and_show(folder, version, size):
    secret = folder.path / "secret"
    secret.write_bytes(b"0123456789abcdef")
    args = ["--version", version, "--secret-file", secret]
    out, result = make(folder, size, *args)
    assert (result.code, result.out, result.err) == (OK, "", "")
    assert out.stat().st_mode & 0o777 == 0o600
    first = out.read_bytes()
    make(folder, size, *args)
    assert out.read_bytes() == first
    shown = folder.json("ci", "show", out)
    assert shown["version"] == int(version)
    assert (shown["range_start"], shown["range_end"]) == (0, size)
    assert sum(s["length"] for s in shown["segments"]) == size
    assert all(s["proved"] and len(s["id"]) == 64 for s in shown["segments"])
    assert "segments" in folder.ctl("ci", "show", out).out


def test_ci_never_shows_secrets(folder):
    out, _ = make(folder, 1000, "--version", "1")
    info = out.read_bytes()
    # Version 1: a header of 18 bytes, then offset, length, block size, HoD
    # and Kp of the segment.
    assert len(info) > 114
    kp = info[18 + 16 + 32:18 + 16 + 64]
    for text in (folder.ctl("ci", "show", out).out,
                 folder.ctl("--json", "ci", "show", out).out):
        assert kp.hex() not in text.lower()
        assert "id" in text


def test_ci_random_secret_warns(folder):
    out, result = make(folder, 1000)
    assert result.code == OK
    assert "no secret file" in result.err
    first = out.read_bytes()
    make(folder, 1000)
    assert out.read_bytes() != first
    assert make(folder, 1000, "--secret-file", "/dev/null")[1].code == FAILED


def test_ci_to_standard_output(folder):
    out, _ = make(folder, 5000, "--secret-file", str(folder.config))
    with open(folder.path / "piped", "wb") as sink:
        subprocess.run(
            [CTL, "ci", "make", folder.path / "source", "--secret-file",
             folder.config], stdout=sink, check=True)
    assert (folder.path / "piped").read_bytes() == out.read_bytes()
    refused = folder.ctl("--json", "ci", "make", folder.path / "source")
    assert refused.code == USAGE


@pytest.mark.parametrize("content", [b"", b"x", b"\0\1\2" * 100])
def test_ci_show_refuses(folder, content):
    bad = folder.path / "bad"
    bad.write_bytes(content)
    result = folder.ctl("ci", "show", bad)
    assert result.code == FAILED
    assert "not content information" in result.err


def test_ci_missing_and_empty_files(folder):
    assert folder.ctl("ci", "show", folder.path / "none").code == FAILED
    assert make(folder, 0)[1].code == FAILED
    result = folder.ctl("ci", "make", folder.path / "none", "-o",
                        folder.path / "o")
    assert result.code == FAILED
    assert not (folder.path / "o").exists()


def test_completion_knows_every_command():
    text = (ROOT / "ctl/completion.bash").read_text()
    for word in [*COMMANDS, "make", "show", "check", "--json", "--socket",
                 "--timeout", "--color", "--yes", "--uid", "--origin",
                 "--all", "--version", "--secret-file", "--content",
                 "--repair", "set-size", "verify", "flush", "both", "forgive",
                 "distributed"]:
        assert word in text
    script = (f"source {ROOT}/ctl/completion.bash; COMP_WORDS=(peerdistctl ci "
              "m); COMP_CWORD=2; _peerdistctl; echo ${COMPREPLY[@]}")
    assert run(["bash", "-c", script],
               env={"PATH": f"{BUILD}:{os.environ['PATH']}"}).out == "make\n"


def test_complaints_name_the_program():
    for args in (["status", "--nope"], ["ci", "show", "--nope"]):
        assert run([CTL, *args]).err.startswith("peerdistctl: ")
