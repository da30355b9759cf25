# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: the real daemon and the real tool in a temporary folder.

Nothing waits for a length of time: a daemon's own messages to the service
manager (READY=1 and so on) come over a socket, and everything else is an answer
or the end of a process, with a deadline.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("B", "build"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
DAEMON = BUILD / "peerdistd"
CTL = BUILD / "peerdistctl"
DEADLINE = 60 if os.environ.get("SAN") else 20
# Not 65534, which the service takes for somebody from another user namespace.
OTHER_UID = 54320

# Where these say that it runs unattended, pytest compares two values that are not
# equal line by line: minutes for a megabyte, also when the test goes on because
# it has other values to compare with.
for name in ("CI", "BUILD_NUMBER"):
    os.environ.pop(name, None)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def as_uid(uid, *groups):
    """A command prefix that runs as another user."""
    prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}"]
    if groups:
        return prefix + ["--groups=" + ",".join(map(str, groups))]
    return prefix + ["--clear-groups"]


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    @property
    def json(self):
        document = json.loads(self.out)
        assert document["v"] == 1
        return document


def run(command, env=None):
    return Result(subprocess.run(
        [str(c) for c in command], capture_output=True, text=True,
        errors="replace", timeout=DEADLINE, check=False,
        stdin=subprocess.DEVNULL, env=dict(os.environ, **(env or {}))))


class Folder:
    """Settings, state and socket of one daemon."""

    def __init__(self, path):
        self.path = path
        self.config = path / "peerdistd.conf"
        self.socket = path / "control.sock"
        self.state = path / "state"
        self.key = self.state / "server.key"
        self.settings = {
            "Service.Socket": self.socket,
            "Service.StateDirectory": self.state,
            # Whoever runs the tests may manage his daemon.
            "Access.AdminGroup": os.getegid(),
            "DataCache.Directory": path / "cache",
            "HashCache.Directory": path / "hashes",
            "DataCache.MaxSize": "64M",
            # Nothing to do with the network that this host is on.
            "Network.Interfaces": "lo",
            "Network.RetrievalListen": "127.0.0.1:0",
        }
        self.write()

    @staticmethod
    def text(settings):
        sections = {}
        for key, value in settings.items():
            section, name = key.split(".")
            sections.setdefault(section, []).append(f"{name} = {value}\n")
        return "".join(f"[{s}]\n" + "".join(lines)
                       for s, lines in sections.items())

    def write(self, **settings):
        """Service__Mode="local" is Service.Mode."""
        for key, value in settings.items():
            self.settings[key.replace("__", ".")] = value
        self.config.write_text(self.text(self.settings))

    def policy(self, text, name="10.conf"):
        folder = self.path / "policy.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    def drop_in(self, text, name="10.conf"):
        folder = self.path / "peerdistd.conf.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    def ctl(self, *args, prefix=()):
        return run([*prefix, CTL, "--socket", self.socket, *args])

    def json(self, *args, prefix=()):
        result = self.ctl("--json", *args, prefix=prefix)
        assert result.code == 0, result.out + result.err
        assert result.err == ""
        return result.json

    def status(self):
        return self.json("status")


class Daemon:
    def __init__(self, folder, *args, prefix=()):
        self.folder = folder
        self.args = [str(a) for a in args]
        self.prefix = list(prefix)
        self.log_path = folder.path / "log"
        self.notify = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.notify.settimeout(DEADLINE)
        # Two daemons in one folder have a socket each.
        self.notify_path = tempfile.mktemp(dir=folder.path, prefix="notify")
        self.notify.bind(self.notify_path)
        os.chmod(self.notify_path, 0o666)
        self.process = None

    def launch(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, DAEMON, "--config", self.folder.config,
                 *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, NOTIFY_SOCKET=self.notify_path))
        return self

    def start(self):
        self.launch()
        self.wait_for("READY=1")
        return self

    def wait_for(self, word):
        """The next message with this line; those before are dropped."""
        while True:
            try:
                lines = self.notify.recv(4096).decode().splitlines()
            except TimeoutError:
                pytest.fail(f"no {word} in time:\n{self.log()}")
            if word in lines:
                return lines

    def log(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, number):
        os.kill(self.process.pid, number)

    def reload(self):
        self.signal(signal.SIGHUP)
        lines = self.wait_for("RELOADING=1")
        assert any(line.startswith("MONOTONIC_USEC=") for line in lines)
        self.wait_for("READY=1")

    def wait(self):
        return self.process.wait(DEADLINE)

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notify.close()
        # Shown when the test fails.
        if self.process is not None:
            print(f"{self.log()}exit status {self.process.returncode}")


@contextlib.contextmanager
def temporary_folder():
    """pytest's own tmp_path is refused to users without a name when another
    such user was here before."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="peerdist-"))
    # Other users must reach the socket.
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def folder():
    with temporary_folder() as path:
        yield Folder(path)


@pytest.fixture
def daemons(folder):
    """Makes daemons and ends them, whatever the test does."""
    made = []

    def make(*args, **kwargs):
        made.append(Daemon(folder, *args, **kwargs))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()


@pytest.fixture
def daemon(daemons):
    """A running one."""
    return daemons().start()
