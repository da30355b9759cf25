# SPDX-License-Identifier: BSD-2-Clause
"""Runs inside the container of test_systemd_web.py and prints what it sees as
JSON: the web server in the sandbox of its unit."""

import json
import os
import pathlib
import pwd
import socket
import subprocess

import described
import http_client
from inside import (SERVICE, ctl, journal, prop, reload, status, systemctl,
                    wait_until)

GET = "/build/peerdist-get"
ROOT = pathlib.Path("/srv/www")
CONFIG = "/etc/peerdist/peerdistd.conf"
DROP_IN = "/etc/systemd/system/peerdistd.service.d/web.conf"
SOCKET = "peerdistd-web.socket"
PORT_80 = "127.0.0.1", 80
ASK = {1: ("Accept-Encoding: peerdist", "X-P2P-PeerDist: Version=1.0"),
       2: ("Accept-Encoding: peerdist", "X-P2P-PeerDist: Version=1.1",
           "X-P2P-PeerDistEx: MinContentInformation=1.0, "
           "MaxContentInformation=2.0")}
OPENAT2, BENEATH = 437, 8


class Local(http_client.Link):
    """To a socket in the file system."""

    def __init__(self, path):
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(http_client.DEADLINE)
        found.connect(path)
        self.socket, self.received, self.host = found, b"", "local"


def settings(text):
    with open(CONFIG, "w", encoding="ascii") as out:
        out.write(text)


def web(root, listen="[::]:80"):
    return f"[Web]\nListen = {listen}\nRoot = {root}\n"


def get(target, *fields, address=PORT_80):
    """Status and body, or why there is none."""
    try:
        answer = http_client.get(address, target, *fields)
    except OSError as error:
        return [type(error).__name__, None]
    return [answer.status, answer.body.decode("latin-1")]


def is_described(octets):
    """Version by version: both are what the file and the key make."""
    key = pathlib.Path("/var/lib/peerdist/server.key").read_bytes()
    made = described.Described(octets, key)
    first = http_client.get(PORT_80, "/file", *ASK[2])
    wait_until(lambda: http_client.get(PORT_80, "/file", *ASK[2]).is_encoded)
    for version in (1, 2):
        answer = http_client.get(PORT_80, "/file", *ASK[version])
        assert answer.is_encoded
        made.check(answer.body, version, 0, None)
    return {"first": [first.is_encoded, first.body == octets],
            "published": ctl("published", "ls")["publications"]}


def downloaded(octets):
    """By everybody's tool, twice."""
    found = []
    for _ in range(2):
        done = subprocess.run(
            [GET, "--json", "-o", "/tmp/got", "http://localhost/file"],
            capture_output=True, check=False)
        found.append(json.loads(done.stdout)["sources"])
        assert pathlib.Path("/tmp/got").read_bytes() == octets
    return found


def openat2(**properties):
    """The error of that call in a unit like ours, by name of the property."""
    code = (f"import ctypes, struct\n"
            f"libc = ctypes.CDLL(None, use_errno=True)\n"
            f"how = struct.pack('QQQ', 0, 0, {BENEATH})\n"
            f"r = libc.syscall({OPENAT2}, -100, b'etc', how, 24)\n"
            f"print(0 if r >= 0 else ctypes.get_errno())")
    done = subprocess.run(
        ["systemd-run", "--pipe", "--wait", "--quiet",
         "--working-directory=/",
         *(f"-p{name}={value}" for name, value in properties.items()),
         "/usr/bin/python3", "-c", code],
        capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


def ways(octets):
    """What is asked for, and what comes, as the daemon opens files now."""
    return {"large": get("/file")[1] == octets.decode("latin-1"),
            **{target: get(target) for target in (
                "/", "/folder/", "/in", "/out", "/none", "/closed",
                "/deep/up", "/../etc/passwd")}}


def hidden_folders():
    """What the sandbox hides, and how it is shown."""
    found = {}
    for where, binding in (("/home/web", None), ("/tmp/web", None),
                           ("/home/web", "/home/web"),
                           ("/home/web", "/home/web:/srv/www"),
                           ("/tmp/web", "/tmp/web:/srv/www")):
        os.makedirs(where, exist_ok=True)
        pathlib.Path(where, "index.html").write_text(where, encoding="ascii")
        text = "[Service]\n"
        if binding:
            text += f"BindReadOnlyPaths={binding}\n"
        pathlib.Path(DROP_IN).write_text(text, encoding="ascii")
        settings(web((binding or where).rpartition(":")[2]))
        systemctl("daemon-reload")
        systemctl("restart", SERVICE)
        found[f"{where} {binding}"] = get("/")
    os.unlink(DROP_IN)
    systemctl("daemon-reload")
    return found


def web_listener():
    [row] = [r for r in status()["listeners"] if r["name"] == "web"]
    return row


def passed(unit_text, address):
    """The manual's unit, at its own address and at another."""
    path = "/etc/systemd/system/" + SOCKET
    pathlib.Path(path).write_text(unit_text, encoding="ascii")
    settings("")
    systemctl("daemon-reload")
    found = {"running": systemctl("start", SOCKET)}
    systemctl("stop", SERVICE)
    found["start"] = systemctl("start", SOCKET)
    info = os.stat(address)
    found["socket"] = [pwd.getpwuid(info.st_uid).pw_name,
                       oct(info.st_mode & 0o777)]

    def ask(target):
        with Local(address) as link:
            return link.ask(target).status
    # It starts the service.
    found["no root"] = ask("/")
    found["active"] = prop("ActiveState")
    settings(f"[Web]\nRoot = {ROOT}\n")
    reload()
    found["root"] = ask("/")
    found["listener"] = web_listener()
    systemctl("restart", SERVICE)
    found["restarted"] = ask("/")
    systemctl("stop", SOCKET, SERVICE)
    # Port 80 by systemd: the daemon needs no privilege for it.
    port = unit_text.replace(address, "80")
    for line in ("SocketUser=www-data\n", "SocketMode=0600\n"):
        assert line in port
        port = port.replace(line, "")
    pathlib.Path(path).write_text(port, encoding="ascii")
    pathlib.Path(DROP_IN).write_text(
        "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n",
        encoding="ascii")
    systemctl("daemon-reload")
    found["start at port"] = systemctl("start", SOCKET)
    found["port"] = get("/")[0]
    systemctl("stop", SOCKET, SERVICE)
    for each in (path, DROP_IN):
        os.unlink(each)
    systemctl("daemon-reload")
    return found


def main():
    seen = {}
    subprocess.run(["systemd-sysusers"], check=False)
    octets = (ROOT / "file").read_bytes()
    os.chmod(ROOT / "closed", 0)
    for name, to in (("in", "folder/index.html"), ("out", "/etc/passwd"),
                     ("deep/up", "../folder/index.html")):
        (ROOT / name).symlink_to(to)
    settings(web(ROOT))
    systemctl("start", "peerdistd.socket")
    systemctl("start", SERVICE)
    seen["listener"] = web_listener()
    seen["described"] = is_described(octets)
    seen["downloaded"] = downloaded(octets)
    seen["explained"] = ctl("explain", "http://localhost/file")
    seen["walk"] = ways(octets)
    seen["openat2 no"] = openat2(RestrictSUIDSGID="yes", User="peerdist")
    seen["openat2 yes"] = openat2(RestrictSUIDSGID="no", User="peerdist")
    pathlib.Path(DROP_IN).write_text("[Service]\nRestrictSUIDSGID=no\n",
                                     encoding="ascii")
    systemctl("daemon-reload")
    systemctl("restart", SERVICE)
    seen["restricted"] = prop("RestrictSUIDSGID")
    seen["openat2"] = ways(octets)
    os.unlink(DROP_IN)
    systemctl("daemon-reload")

    settings(web(ROOT, "off"))
    reload()
    seen["off"] = get("/")
    settings(web(ROOT / "folder"))
    reload()
    seen["on"] = get("/")
    settings(web("/nonexistent"))
    reload()
    seen["no folder"] = get("/")
    seen["hidden"] = hidden_folders()
    seen["passed"] = passed(
        pathlib.Path("/web.socket").read_text(encoding="ascii"),
        "/run/peerdist-web.sock")
    subprocess.run(["journalctl", "--sync"], check=False)
    seen["log"] = [[e.get("PEERDIST_FOLDER"), e.get("PEERDIST_PORT"),
                    e["PRIORITY"]] for e in journal()]
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
