# SPDX-License-Identifier: BSD-2-Clause
"""The web server under a real systemd: port 80 and a folder of the host in the
unit's sandbox, with openat2() and without, what the sandbox hides, sockets that
systemd makes, as the manual has them."""

import re

import pytest

from conftest import ROOT
from test_systemd import seen_inside, units

# Text, as all files that the container is given.
FILE = "".join(f"{i:07d}\n" for i in range(50000))
ENOSYS = 38
FORBIDDEN = [403, "Forbidden\n"]


def socket_unit():
    """That of the manual."""
    page = (ROOT / "man/peerdistd.8").read_text()
    return re.search(r"^(\[Socket\]\n.*?)^\.Ed", page, re.M | re.S)[1]


@pytest.fixture(scope="module")
def seen():
    return seen_inside({
        **units("inside_web.py", "http_client.py", "described.py"),
        "web.socket": socket_unit(),
        "srv/www/file": FILE,
        "srv/www/index.html": "index",
        "srv/www/closed": "closed",
        "srv/www/folder/index.html": "in the folder",
        "srv/www/deep/file": "deep",
    }, "inside_web.py")


def test_port_80(seen):
    assert seen["listener"] == {"name": "web", "from": "settings",
                                "address": "[::]:80", "port": 80}


def test_files_are_described(seen):
    first, published = (seen["described"][n] for n in ("first", "published"))
    assert first == [False, True]
    [row] = published
    assert (row["path"], row["size"], row["versions"], row["watched"]) == (
        "/srv/www/file", len(FILE), "1,2", True)


def test_files_are_downloaded(seen):
    """Through the same daemon's cache."""
    assert seen["downloaded"] == [
        {"local_cache": 0, "peers": 0, "origin": len(FILE)},
        {"local_cache": len(FILE), "peers": 0, "origin": 0}]
    assert seen["explained"]["findings"] == []


@pytest.mark.parametrize("how", ["walk", "openat2"])
def test_ways(seen, how):
    """The same, whether that call is there or not."""
    ways = seen[how]
    assert ways["large"]
    assert ways["/"] == [200, "index"]
    for target in ("/folder/", "/in", "/deep/up"):
        assert ways[target] == [200, "in the folder"]
    for target, status in (("/out", 403), ("/closed", 403), ("/none", 404),
                           ("/../etc/passwd", 400)):
        assert ways[target][0] == status
        assert "root:" not in ways[target][1]


def test_openat2_is_forbidden(seen):
    """That is why there are two ways."""
    assert seen["openat2 no"] == str(ENOSYS)
    assert seen["openat2 yes"] == "0"
    assert seen["restricted"] == "no"


def test_reload(seen):
    assert seen["off"][0] == "ConnectionRefusedError"
    assert seen["on"] == [200, "in the folder"]
    assert seen["no folder"][0] == 503


def test_hidden_folders(seen):
    """They are to be seen under another name only, as the manual has it."""
    hidden = seen["hidden"]
    for where in ("/home/web", "/tmp/web"):
        assert hidden[f"{where} None"][0] == 503
    assert hidden["/home/web /home/web:/srv/www"] == [200, "/home/web"]
    assert hidden["/tmp/web /tmp/web:/srv/www"] == [200, "/tmp/web"]
    assert hidden["/home/web /home/web"][0] == 503


def test_socket_of_the_manual(seen):
    passed = seen["passed"]
    assert passed["running"] != "0"  # it has to be stopped
    assert passed["start"] == "0"
    assert passed["socket"] == ["www-data", "0o600"]
    assert passed["active"] == "active"
    assert (passed["no root"], passed["root"], passed["restarted"]) == (
        503, 200, 200)
    assert passed["listener"]["from"] == "systemd"
    assert passed["start at port"] == "0"
    assert passed["port"] == 200


def test_log(seen):
    """The fields can be searched for."""
    log = seen["log"]
    assert ["/nonexistent", None, "3"] in log
    assert [None, "80", "6"] in log
