# SPDX-License-Identifier: BSD-2-Clause
"""The server secret: set, export, import, and who never sees it."""

import contextlib
import hashlib
import os
import pathlib
import pty
import random
import select
import signal
import stat
import subprocess

import pytest

import content
import ipc
from conftest import CTL, DEADLINE, OTHER_UID, as_uid, needs_root, run

OK, FAILED, USAGE, UNAVAILABLE, PERMISSION = range(5)
KEY = bytes(range(32))
PASSPHRASE = "correct horse 世界 \U0001f600"


def as_utf16(text):
    return text.encode("utf-16-le")


def openssl(plain, passphrase, *args):
    """Not our own code, on purpose."""
    return subprocess.run(
        ["openssl", "enc", "-aes-256-cbc", "-iv", "0" * 32, "-K",
         hashlib.sha256(as_utf16(passphrase)).hexdigest(), *args],
        input=plain, stdout=subprocess.PIPE, check=True,
        timeout=DEADLINE).stdout


def key_file(key, passphrase):
    return openssl(hashlib.sha256(key).digest() + key, passphrase)


def opened(octets, passphrase):
    plain = openssl(octets, passphrase, "-d")
    key = plain[32:]
    assert hashlib.sha256(key).digest() == plain[:32]
    return key


@pytest.fixture
def passphrase(folder):
    path = folder.path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return path


def fingerprint(folder):
    return folder.json("secret", "fingerprint")["fingerprint"]


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_set(folder, daemons, passphrase):
    daemon = daemons().start()
    before = fingerprint(folder)
    result = folder.ctl("--yes", "secret", "set", "--passphrase-file",
                        passphrase)
    assert result.code == OK, result.err
    assert folder.key.read_bytes() == as_utf16(PASSPHRASE)
    assert mode_of(folder.key) == 0o600
    assert {"server.key"} == {name for name in os.listdir(folder.state)
                              if name.startswith((".", "server"))}
    after = fingerprint(folder)
    assert after != before
    assert result.out == f"replaced; now {after}\n"
    assert daemon.stop() == 0
    daemons().start()
    assert fingerprint(folder) == after
    # Equal texts are equal secrets.
    assert folder.json("--yes", "secret", "set", "--passphrase-file",
                       passphrase)["fingerprint"] == after


def test_fingerprint_is_not_the_hash_of_the_key(folder, daemon):
    shown = fingerprint(folder)
    assert len(shown) == 32
    key = folder.key.read_bytes()
    for algorithm in ("md5", "sha1", "sha256", "sha384", "sha512"):
        assert shown not in hashlib.new(algorithm, key).hexdigest()
    assert folder.ctl("secret", "fingerprint").out == shown + "\n"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_newline_is_not_part_of_it(folder, daemon, passphrase, ending):
    passphrase.write_bytes(PASSPHRASE.encode() + ending.encode())
    assert folder.ctl("--yes", "secret", "set", "--passphrase-file",
                      passphrase).code == OK
    assert folder.key.read_bytes() == as_utf16(PASSPHRASE)


def test_only_one_newline(folder, daemon, passphrase):
    passphrase.write_text(PASSPHRASE + "\n\n")
    assert folder.ctl("--yes", "secret", "set", "--passphrase-file",
                      passphrase).code == OK
    assert folder.key.read_bytes() == as_utf16(PASSPHRASE + "\n")


@pytest.mark.parametrize("octets", [
    b"", b"\n", b"seven77", b"\xff" * 16, b"with\0null", b"a" * 1025])
def test_bad_passphrases(folder, daemon, passphrase, octets):
    key = folder.key.read_bytes()
    passphrase.write_bytes(octets)
    result = folder.ctl("--yes", "secret", "set", "--passphrase-file",
                        passphrase)
    assert (result.code, result.out) == (FAILED, "")
    assert "passphrase" in result.err or "empty" in result.err
    assert folder.key.read_bytes() == key


def test_export(folder, daemon, passphrase):
    out = folder.path / "key.bin"
    result = folder.ctl("secret", "export", out, "--passphrase-file",
                        passphrase)
    assert result.code == OK, result.err
    assert result.out == f"exported {fingerprint(folder)}\n"
    assert mode_of(out) == 0o600
    key = folder.key.read_bytes()
    assert opened(out.read_bytes(), PASSPHRASE) == key
    assert out.read_bytes() == key_file(key, PASSPHRASE)
    # Not over what is there.
    out.write_text("precious")
    result = folder.ctl("secret", "export", out, "--passphrase-file",
                        passphrase)
    assert result.code == FAILED
    assert "--yes" in result.err
    assert out.read_text() == "precious"
    document = folder.json("--yes", "secret", "export", out,
                           "--passphrase-file", passphrase)
    assert document == {"v": 1, "fingerprint": fingerprint(folder),
                        "file": str(out)}
    assert opened(out.read_bytes(), PASSPHRASE) == key


def test_export_to_nowhere(folder, daemon, passphrase):
    result = folder.ctl("secret", "export", folder.path / "none" / "key",
                        "--passphrase-file", passphrase)
    assert (result.code, result.out) == (FAILED, "")
    assert "No such file" in result.err


@pytest.mark.parametrize("size", [16, 31, 32, 4096])
def test_import(folder, daemons, passphrase, size):
    daemon = daemons().start()
    key = bytes(i * 7 % 256 for i in range(size))
    source = folder.path / "key.bin"
    source.write_bytes(key_file(key, PASSPHRASE))
    result = folder.ctl("--yes", "secret", "import", source,
                        "--passphrase-file", passphrase)
    assert result.code == OK, result.err
    assert folder.key.read_bytes() == key
    shown = fingerprint(folder)
    assert result.out == f"replaced; now {shown}\n"
    assert daemon.stop() == 0
    daemons().start()
    assert fingerprint(folder) == shown


def refused_import(folder, octets, passphrase):
    key = folder.key.read_bytes()
    source = folder.path / "key.bin"
    source.write_bytes(octets)
    result = folder.ctl("--yes", "secret", "import", source,
                        "--passphrase-file", passphrase)
    assert (result.code, result.out) == (FAILED, "")
    assert folder.key.read_bytes() == key
    return result.err


def test_import_refuses(folder, daemon, passphrase):
    good = key_file(KEY, PASSPHRASE)
    flipped = bytearray(good)
    flipped[40] ^= 1
    wrong = {
        "another passphrase": key_file(KEY, PASSPHRASE + "x"),
        "cut": good[:-16],
        "cut in a block": good[:-1],
        "longer": good + bytes(16),
        "flipped": bytes(flipped),
        "another hash": openssl(bytes(32) + KEY, PASSPHRASE),
        "no key": key_file(b"", PASSPHRASE),
        "noise": os.urandom(80),
        "the key itself": KEY,
        "text": b"hello",
        "large": os.urandom(16384),
    }
    # One answer for all of them.
    assert {refused_import(folder, octets, passphrase)
            for octets in wrong.values()} == {
        "peerdistctl: wrong passphrase, or not a key file\n"}
    for size in (1, 15):
        assert "fewer than 16" in refused_import(
            folder, key_file(bytes(size), PASSPHRASE), passphrase)
    assert "too long" in refused_import(folder, bytes(16385), passphrase)
    assert "empty" in refused_import(folder, b"", passphrase)


def test_import_of_what_is_not_there(folder, daemon, passphrase):
    for args in (["import", folder.path / "none"],
                 ["set", "--passphrase-file", folder.path / "none"]):
        result = folder.ctl("--yes", "secret", *args)
        assert result.code == FAILED
        assert "No such file" in result.err


def test_usage(folder, daemon, passphrase):
    for args in (["secret"], ["secret", "show"], ["secret", "set", "x"],
                 ["secret", "export"], ["secret", "import"],
                 ["secret", "import", "a", "b"], ["secret", "set", "--nope"],
                 ["secret", "fingerprint", "x"],
                 ["secret", "fingerprint", "--passphrase-file", passphrase],
                 # Nobody is there to be asked back.
                 ["secret", "set", "--passphrase-file", passphrase],
                 ["secret", "import", folder.config, "--passphrase-file",
                  passphrase]):
        result = folder.ctl(*args)
        assert (result.code, result.out) == (USAGE, ""), args
        assert "Usage: peerdistctl secret" in result.err or \
            "fingerprint" in args, args


def test_without_a_terminal(folder, daemon):
    result = run(["setsid", "--wait", CTL, "--socket", folder.socket, "--yes",
                  "secret", "set"])
    assert result.code == USAGE
    assert "--passphrase-file is needed" in result.err


@needs_root
def test_administrators_only(folder, daemon, passphrase):
    passphrase.chmod(0o644)
    key = folder.key.read_bytes()
    target = folder.path / "public"
    target.mkdir()
    target.chmod(0o777)
    source = target / "key.bin"
    source.write_bytes(key_file(KEY, PASSPHRASE))
    source.chmod(0o644)
    for args in (["fingerprint"], ["set", "--passphrase-file", passphrase],
                 ["export", target / "out", "--passphrase-file", passphrase],
                 ["import", source, "--passphrase-file", passphrase]):
        result = folder.ctl("--yes", "secret", *args,
                            prefix=as_uid(OTHER_UID))
        assert (result.code, result.out) == (PERMISSION, ""), args
    assert folder.key.read_bytes() == key
    assert os.listdir(target) == ["key.bin"]


def test_crash_leaves_the_old_or_the_new(folder, daemons):
    texts = ["the first secret", "the second secret"]
    for i, text in enumerate(texts):
        (folder.path / str(i)).write_text(text)
    wanted = {as_utf16(text) for text in texts}
    daemon = daemons().start()
    wanted.add(folder.key.read_bytes())
    for number in range(10):
        with subprocess.Popen(
                [CTL, "--socket", folder.socket, "--yes", "secret", "set",
                 "--passphrase-file", folder.path / str(number % 2)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            before = folder.key.stat().st_ino
            # At some moment before, while or after it happens.
            for _ in range(random.randrange(4000)):
                if folder.key.stat().st_ino != before:
                    break
            daemon.signal(signal.SIGKILL)
            daemon.wait()
        assert folder.key.read_bytes() in wanted
        assert mode_of(folder.key) == 0o600
        daemon = daemons().start()
        assert folder.key.read_bytes() in wanted
        assert not [name for name in os.listdir(folder.state)
                    if name.startswith(".server")]


# What is published is described with the secret in force.

def test_published_content_follows(folder, daemon, passphrase):
    client = ipc.Client(folder.socket, DEADLINE)
    octets = os.urandom(2 * content.BLOCK + 5)

    def information(name):
        client.publish(name, octets)
        return client.information(name)

    first = information(b"one")
    source = folder.path / "key.bin"
    folder.ctl("secret", "export", source, "--passphrase-file", passphrase)
    assert folder.ctl("--yes", "secret", "import", source,
                      "--passphrase-file", passphrase).code == OK
    # The epoch has ended, so this is a new session.
    client.close()
    client = ipc.Client(folder.socket, DEADLINE)
    assert information(b"two") == first
    assert folder.ctl("--yes", "secret", "set", "--passphrase-file",
                      passphrase).code == OK
    client.close()
    client = ipc.Client(folder.socket, DEADLINE)
    assert information(b"three") != first
    client.close()


# The terminal.

class Terminal:
    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execv(command[0], [str(c) for c in command])
            finally:
                os._exit(127)
        self.shown = ""

    def more(self):
        """What comes next; nothing when the other end is closed."""
        assert select.select([self.fd], [], [], DEADLINE)[0], self.shown
        try:
            return os.read(self.fd, 4096).decode()
        except OSError:
            return ""

    def wait_for(self, text):
        """The next time that this is shown."""
        while text not in self.shown:
            more = self.more()
            assert more, self.shown
            self.shown += more
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """The exit status."""
        while more := self.more():
            self.shown += more
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def terminal(folder):
    """Starts peerdistctl, or the whole command, at a terminal of its own."""
    made = []

    def make(*args, command=None):
        made.append(Terminal(command or [
            CTL, "--socket", folder.socket, *args]))
        return made[-1]

    yield make
    for one in made:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            if os.waitpid(one.pid, os.WNOHANG)[0] == 0:
                os.kill(one.pid, signal.SIGKILL)
                os.waitpid(one.pid, 0)
                os.close(one.fd)


def test_prompt(folder, daemon, terminal):
    tool = terminal("secret", "set")
    seen = tool.wait_for("[y/N] ")
    assert "will not match any more" in seen
    tool.type("y\n")
    tool.wait_for("Passphrase: ")
    tool.type("typed by hand\n")
    tool.wait_for("again: ")
    tool.type("typed by hand\n")
    assert tool.end() == OK
    assert "typed" not in tool.shown
    assert fingerprint(folder) in tool.shown
    assert folder.key.read_bytes() == as_utf16("typed by hand")


def test_prompt_differs(folder, daemon, terminal):
    key = folder.key.read_bytes()
    tool = terminal("--yes", "secret", "set")
    tool.wait_for("Passphrase: ")
    tool.type("typed by hand\n")
    tool.wait_for("again: ")
    tool.type("typed by Hand\n")
    assert tool.end() == FAILED
    assert "differ" in tool.shown
    assert "typed" not in tool.shown
    assert folder.key.read_bytes() == key


def test_prompt_for_import_comes_once(folder, daemon, terminal):
    source = folder.path / "key.bin"
    source.write_bytes(key_file(KEY, "typed by hand"))
    tool = terminal("--yes", "secret", "import", source)
    tool.wait_for("Passphrase: ")
    tool.type("typed by hand\n")
    assert tool.end() == OK
    assert folder.key.read_bytes() == KEY


@pytest.mark.parametrize("answer", ["", "n", "yep"])
def test_no_means_no(folder, daemon, terminal, answer):
    key = folder.key.read_bytes()
    tool = terminal("secret", "set")
    tool.wait_for("[y/N] ")
    tool.type(answer + "\n")
    assert tool.end() == FAILED
    assert "nothing was done" in tool.shown
    assert folder.key.read_bytes() == key


def test_interrupt_gives_the_echo_back(folder, daemon, terminal):
    # The shell keeps the terminal, to be looked at afterwards.
    tool = terminal(command=[
        # Ignored where the tests run in the background.
        "/usr/bin/env", "--default-signal=INT",
        "/bin/sh", "-c", f"trap : INT; {CTL} --socket {folder.socket} --yes "
        "secret set; echo code $?; stty -a"])
    tool.wait_for("Passphrase: ")
    tool.type("half a passph\x03")
    tool.end()
    assert f"code {128 + signal.SIGINT}" in tool.shown
    assert " echo " in tool.shown
    assert "half" not in tool.shown


# Nothing secret anywhere.

def memory_of(pid):
    """What a debugger of root would find, outside locked memory that is kept
    out of dumps."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as s, \
            open(f"/proc/{pid}/mem", "rb", 0) as mem:
        span = None
        for line in s:
            first = line.split()[0]
            if not first.endswith(":"):
                span = [int(part, 16) for part in first.split("-")]
                readable = line.split()[1].startswith("r")
            elif first == "VmFlags:" and readable and "dd" not in line.split():
                try:
                    mem.seek(span[0])
                    found.append(mem.read(span[1] - span[0]))
                except (OSError, ValueError):
                    pass
    return found


@needs_root
def test_nothing_secret_in_memory_or_log(folder, daemons, passphrase):
    daemon = daemons("--log-level", "debug").start()
    out = folder.path / "key.bin"
    old = folder.key.read_bytes()
    assert folder.ctl("secret", "export", out, "--passphrase-file",
                      passphrase).code == OK
    assert folder.ctl("--yes", "secret", "set", "--passphrase-file",
                      passphrase).code == OK
    text = as_utf16(PASSPHRASE)
    aes = hashlib.sha256(text).digest()
    secrets = {
        "first key": old, "second key": text, "passphrase":
        PASSPHRASE.encode(), "key of the file": aes,
        "server secret": hashlib.sha256(old).digest()}
    # Sanitizers keep what was freed.
    if not os.environ.get("SAN"):
        memory = memory_of(daemon.process.pid)
        assert sum(map(len, memory)) > 100000
        # This search finds what is there.
        assert any(str(folder.socket).encode() in part for part in memory)
        for name, octets in secrets.items():
            assert not any(octets in part for part in memory), name
    daemon.stop()
    log = daemon.log_path.read_bytes()
    assert b"Server secret replaced" in log
    for name, octets in secrets.items():
        assert octets not in log, name
        assert octets.hex().encode() not in log.lower(), name
    for path in pathlib.Path(folder.path).rglob("*"):
        if path.is_file() and path not in (passphrase, folder.key):
            octets = path.read_bytes()
            for name, secret in secrets.items():
                assert secret not in octets, (path, name)
