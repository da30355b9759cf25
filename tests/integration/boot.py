# SPDX-License-Identifier: BSD-2-Clause
"""This machine's own root, started under a real systemd in a container.

An overlay lies over /, so nothing of what happens inside is kept; the cgroups
that the container makes go under one of ours and are removed with it.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

UNIT = """[Unit]
Requires=dbus.socket
After=dbus.socket basic.target
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart={command}
StandardOutput=file:/results/out
StandardError=file:/results/err
TimeoutStartSec={limit}
"""


def missing():
    """Why this machine cannot do it, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program, package in (("systemd-nspawn", "systemd-container"),
                             ("dbus-daemon", "dbus")):
        if shutil.which(program) is None:
            return f"needs {program} (Debian package {package})"
    if not os.path.exists("/lib/systemd/systemd"):
        return "needs systemd (Debian package systemd-sysv)"
    try:
        with overlay():
            pass
    except subprocess.CalledProcessError as error:
        return f"no overlay over / here ({error.stderr.decode().strip()})"
    return None


def mount(*args):
    subprocess.run(["mount", *args], check=True, capture_output=True)


@contextlib.contextmanager
def overlay():
    """A writable copy of / in memory."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="peerdist-boot-"))
    with contextlib.ExitStack() as stack:
        stack.callback(base.rmdir)
        mount("-t", "tmpfs", "-o", "size=1g,mode=755", "tmpfs", str(base))
        stack.callback(subprocess.run, ["umount", "-l", str(base)], check=True)
        for name in ("upper", "work", "root"):
            (base / name).mkdir()
        root = base / "root"
        mount("-t", "overlay", "-o",
              f"lowerdir=/,upperdir={base}/upper,workdir={base}/work",
              "overlay", str(root))
        stack.callback(subprocess.run, ["umount", "-l", str(root)], check=True)
        yield root


@contextlib.contextmanager
def cgroups(name):
    """One of ours in each hierarchy that systemd would use."""
    top = pathlib.Path("/sys/fs/cgroup")
    made = []
    for parent in (top / "systemd", top / "unified", top):
        if (parent / "cgroup.procs").exists():
            (parent / name).mkdir()
            made.append(parent / name)
    try:
        yield made
    finally:
        for group in made:
            folders = sorted(group.rglob("*/"), reverse=True)
            for folder in [*(f for f in folders if f.is_dir()), group]:
                with contextlib.suppress(OSError):
                    folder.rmdir()


def prepare(root, files, limit, command):
    (root / "etc/machine-id").write_text(f"{os.getpid():032x}\n")
    (root / "etc/fstab").write_text("")
    for stamp in ("etc/.updated", "var/.updated"):
        (root / stamp).touch()
    files = dict(files)
    files["etc/systemd/system/test.service"] = UNIT.format(
        command=command, limit=limit)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def run(files, command, results, limit, binds=()):
    """Starts the container with these files in it, runs the command there, and
    returns its exit status; its output is in results/out and results/err."""
    name = f"peerdist{os.getpid()}"
    with overlay() as root, cgroups(name) as groups:
        prepare(root, files, limit, command)
        nspawn = ["systemd-nspawn", "--quiet", f"--directory={root}",
                  f"--machine={name}", "--boot", "--register=no",
                  "--private-network",
                  "--keep-unit", "--console=pipe", "--link-journal=no",
                  "--tmpfs=/tmp", f"--bind={results}:/results"]
        nspawn += [f"--bind-ro={bind}" for bind in binds]
        nspawn += ["--", "systemd.unit=test.service"]

        def join():
            for group in groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        with open(f"{results}/console", "wb") as console:
            return subprocess.run(
                nspawn, stdin=subprocess.DEVNULL, stdout=console,
                stderr=console, preexec_fn=join, timeout=limit + 30,
                check=False).returncode
