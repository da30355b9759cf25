# SPDX-License-Identifier: BSD-2-Clause
"""Runs inside the container of test_systemd.py and prints what it sees as JSON.

No waiting for a length of time: systemctl returns when a job is done, and a
request to the socket waits in it until the service that systemd starts takes it.
Only a reload is done when the signal was sent, not when it was heeded; the
journal says so.
"""

import http.client
import json
import os
import select
import signal
import stat
import subprocess
import time

import content
import ipc

CTL = "/build/peerdistctl"
SERVICE = "peerdistd.service"
SOCKET = "/run/peerdist/peerdistd.sock"
# Of the distribution, so not touched a moment ago.
FILE = "/usr/bin/env"
BLOCK = content.Segment(b"kept beyond restarts" * 1000)


def systemctl(*args):
    result = subprocess.run(["systemctl", *args], capture_output=True,
                            text=True, check=False)
    return result.stdout.strip() or str(result.returncode)


def prop(name):
    return systemctl("show", "--value", "-p", name, SERVICE)


def ctl(*args):
    out = subprocess.run(
        [CTL, "--json", "--timeout", "60", *args], capture_output=True,
        text=True, check=False).stdout
    return json.loads(out)


def status():
    return ctl("status")


def store():
    """Writes whatever the daemon writes."""
    client = ipc.Client(SOCKET, 60)
    handle = client.open_content(content.v1(BLOCK), b"t" * 16)
    added = client.add(ipc.SUBMIT_DATA_ADD, handle, BLOCK.octets)
    client.close()
    return {"added": added, "published": ctl("publish", FILE),
            "size": ctl("cache", "set-size", "data", "24M"),
            "secret": ctl("--yes", "secret", "set", "--passphrase-file",
                          "/etc/passwd-of-test")}


def stored():
    """What is there of it."""
    client = ipc.Client(SOCKET, 60)
    handle = client.open_content(content.v1(BLOCK))
    code, _, octets = client.read_cached(handle, len(BLOCK.octets))
    client.close()
    return {"read": [code, octets == BLOCK.octets],
            "published": ctl("published", "ls")["publications"],
            "verified": ctl("cache", "verify"),
            "max bytes": status()["store"]["max_bytes"],
            "secret": ctl("secret", "fingerprint")}


def answer_of_port_80():
    """The status of HTTP, or why there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def modes():
    """Switched while it runs; nobody's privileges but the unit's."""
    seen = {"before": answer_of_port_80()}
    for mode in ("distributed", "local"):
        ctl("mode", "set", mode)
        seen[mode] = {"answer": answer_of_port_80(), "status": status()}
    return seen


def facts(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as text:
        fields = dict(line.rstrip("\n").split(":\t", 1)
                      for line in text if ":\t" in line)
    return {name: fields[name] for name in
            ("Uid", "CapBnd", "CapEff", "NoNewPrivs", "Seccomp")}


def owner_and_mode(path):
    found = os.lstat(path)
    return [found.st_uid, oct(stat.S_IMODE(found.st_mode))]


def journal(*fields):
    out = subprocess.run(
        ["journalctl", "-o", "json", "-u", SERVICE, *fields],
        capture_output=True, text=True, check=False).stdout
    return [json.loads(line) for line in out.splitlines()]


def wait_until(fact):
    end = time.monotonic() + 30
    while not (found := fact()):
        assert time.monotonic() < end
        select.select([], [], [], 0.02)
    return found


def reload():
    def count():
        return sum(e["MESSAGE"].startswith("Settings reloaded")
                   for e in journal())
    before = count()
    sent = systemctl("reload", SERVICE)
    wait_until(lambda: count() > before)
    return sent


def main():
    seen = {}
    seen["sysusers"] = subprocess.run(
        ["systemd-sysusers"], check=False).returncode
    seen["uid"] = int(subprocess.check_output(["id", "-u", "peerdist"]))
    seen["socket start"] = systemctl("start", "peerdistd.socket")
    seen["before"] = prop("ActiveState")
    seen["socket"] = owner_and_mode("/run/peerdist/peerdistd.sock")

    first = status()
    seen["first"] = first
    seen["active"] = prop("ActiveState")
    seen["main pid"] = int(prop("MainPID"))
    seen["facts"] = facts(first["pid"])
    seen["key"] = owner_and_mode("/var/lib/peerdist/server.key")
    seen["state"] = owner_and_mode("/var/lib/peerdist")

    os.makedirs("/etc/peerdist/policy.d", exist_ok=True)
    with open("/etc/peerdist/policy.d/off.conf", "w", encoding="ascii") as out:
        out.write("[Service]\nEnable = no\n")
    seen["reload"] = reload()
    seen["disabled"] = status()["status"]
    os.unlink("/etc/peerdist/policy.d/off.conf")
    seen["reload again"] = reload()
    seen["enabled"] = status()["status"]

    seen["modes"] = modes()
    seen["store"] = store()
    # In order, so that all of it is durable.
    seen["restart"] = systemctl("restart", SERVICE)
    first = status()
    seen["restarted"] = first["pid"]
    seen["stored"] = stored()
    seen["cache"] = owner_and_mode("/var/cache/peerdist")

    os.kill(first["pid"], signal.SIGKILL)
    second = status()
    seen["after kill"] = second["pid"]
    # A process that stands still misses the watchdog's pings.
    os.kill(second["pid"], signal.SIGSTOP)
    third = status()
    seen["after stop"] = third["pid"]
    seen["restarts"] = int(prop("NRestarts"))
    seen["stored after kill"] = stored()

    seen["stop"] = systemctl("stop", "peerdistd.socket", SERVICE)
    seen["result"] = prop("Result")
    seen["exit"] = prop("ExecMainStatus")
    subprocess.run(["journalctl", "--sync"], check=False)
    seen["ready events"] = len(
        journal("PEERDIST_SOCKET=/run/peerdist/peerdistd.sock"))
    seen["stopped events"] = [e["MESSAGE"] for e in journal("PRIORITY=5")][-1:]
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
