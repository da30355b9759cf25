# SPDX-License-Identifier: BSD-2-Clause
"""peerdistctl publish, published, unpublish: files that stay published."""

import os
import pathlib
import pty
import re
import select
import subprocess
import time

import pytest

import content
import ipc
from conftest import (BUILD, CTL, DEADLINE, OTHER_UID, ROOT, as_uid,
                      needs_root, run, temporary_folder)

OK, FAILED, USAGE, LOCKED, NOT_FOUND = 0, 1, 2, 5, 6
NOT_FOUND_CODE = 1168
SETTLED_S = 2.1
MANY = 1003


@pytest.fixture(scope="module")
def tree():
    """A folder with files that have not changed for a while, and stay so."""
    with temporary_folder() as root:
        path = root / "tree"
        (path / "deep" / "deeper").mkdir(parents=True)
        make(path / "a", 100)
        make(path / "deep" / "b", 70000)
        make(path / "deep" / "deeper" / "c", 3 * content.BLOCK)
        make(path / "hidden", 50).chmod(0o600)
        (path / "empty").touch()
        (path / "link").symlink_to(path / "a")
        (path / "elsewhere").symlink_to("/etc")
        os.mkfifo(path / "fifo")
        (root / "many").mkdir()
        for i in range(MANY):
            make(root / "many" / f"{i:04}", 1 + i)
        settle(path / "empty", *(root / "many").iterdir())
        yield path


def make(path, size):
    path.write_bytes(os.urandom(size))
    path.chmod(0o644)
    return path


def settle(*paths):
    """Waits until these files are old enough to be published.  Their change
    times cannot be set, so this is the one thing that only time does."""
    newest = max(p.stat().st_ctime for p in paths)
    while (left := newest + SETTLED_S - time.time()) > 0:
        select.select([], [], [], left)


def rows(folder, **kwargs):
    return folder.json("published", "ls", **kwargs)["publications"]


def paths(folder, **kwargs):
    return [r["path"] for r in rows(folder, **kwargs)]


def information(folder, path, uid=None):
    """What a program of this user is told of it: content information, or a
    code."""
    client = ipc.Client(folder.socket, DEADLINE, uid=uid)
    try:
        return client.information(str(path).encode())
    finally:
        client.close()


def gone(folder, path):
    """Whether nothing of it is published any more."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if str(path) not in paths(folder):
            return True
        select.select([], [], [], 0.05)
    return False


@pytest.mark.parametrize("args", [
    ["publish"], ["publish", "-r"], ["publish", "x", "--version", "3"],
    ["publish", "--nope", "x"], ["unpublish"], ["unpublish", "x"],
    ["unpublish", "0"], ["unpublish", "1", "2"], ["published"],
    ["published", "nope"], ["published", "ls", "x"], ["published", "show"],
    ["published", "show", "-1"]])
def test_usage(folder, args):
    result = folder.ctl(*args)
    assert (result.code, result.out) == (USAGE, "")
    assert "Usage: peerdistctl" in result.err


def completed(folder, *words):
    """What the shell offers for the last word of a command line."""
    line = ["peerdistctl", "--socket", str(folder.socket), *words]
    script = (f"source {ROOT}/ctl/completion.bash; COMP_WORDS=(\"$@\"); "
              "COMP_CWORD=$(($# - 1)); _peerdistctl; echo ${COMPREPLY[@]}")
    return run(["bash", "-c", script, "bash", *line], env={
        "PATH": f"{BUILD}:{os.environ['PATH']}"}).out.split()


def test_publish_and_take_back(folder, daemon, tree):
    assert folder.ctl("published", "ls").out == "nothing is published\n"
    assert folder.ctl("-q", "published", "ls").out == ""
    result = folder.ctl("publish", tree / "a")
    assert (result.code, result.err) == (OK, "")
    number, path = result.out.splitlines()[0].split()
    assert path == str(tree / "a")
    assert "published 1 file, 100 B" in result.out
    [row] = rows(folder)
    assert row["id"] == int(number)
    assert row["uid"] == os.geteuid()
    assert (row["path"], row["size"]) == (path, 100)
    assert (row["versions"], row["watched"]) == ("1,2", True)
    assert row["published"] <= time.time()
    listed = folder.ctl("published", "ls").out
    assert len(listed.splitlines()) == 2 and path in listed
    shown = folder.json("published", "show", number)
    assert {k: shown[k] for k in row} == row
    text = folder.ctl("published", "show", number).out
    assert path in text and str(row["published"]) not in text
    assert re.search(r"^published +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", text,
                     re.M)
    assert completed(folder, "unpublish", "") == [number, "--help"]
    assert completed(folder, "published", "show", "") == [number, "--help"]
    assert folder.ctl("unpublish", number).out == "unpublished\n"
    assert rows(folder) == []
    for command in (["unpublish"], ["published", "show"]):
        result = folder.ctl(*command, number)
        assert result.code == NOT_FOUND
        assert "no such publication" in result.err


def test_content_information_for_the_owner(folder, daemon, tree):
    path = tree / "deep" / "deeper" / "c"
    assert information(folder, path) == NOT_FOUND_CODE
    assert folder.ctl("publish", path).code == OK
    info = information(folder, path)
    # What everybody makes of this file with the server's secret.
    out = folder.path / "c.ci"
    secret = [p for p in folder.state.iterdir() if "key" in p.name]
    assert folder.ctl("ci", "make", path, "--version", "2", "--secret-file",
                      secret[0], "-o", out).code == OK
    assert info == out.read_bytes()
    # It is not in anything that the tool prints.
    for text in (folder.ctl("--json", "published", "ls").out,
                 folder.ctl("--json", "published", "show",
                            str(rows(folder)[0]["id"])).out):
        assert info[40:60].hex() not in text.lower()


def test_folders(folder, daemon, tree):
    result = folder.ctl("publish", tree)
    assert (result.code, rows(folder)) == (FAILED, [])
    assert "-r" in result.err
    # Twice named is once published; the link by its name is followed.
    document = folder.json("publish", "-r", tree, tree / "a", tree / "link")
    wanted = [tree / "a", tree / "deep" / "b", tree / "deep" / "deeper" / "c",
              tree / "hidden"]
    assert sorted(r["path"] for r in document["published"]) == [
        str(p) for p in wanted]
    assert document["failed"] == []
    assert document["skipped"] == 4
    assert sorted(paths(folder)) == [str(p) for p in wanted]
    assert all(information(folder, p) != NOT_FOUND_CODE for p in wanted)


def test_versions(folder, daemon, tree):
    for version, shown in (("1", "1"), ("2", "2"), ("both", "1,2")):
        assert folder.ctl("publish", "--version", version,
                          tree / "a").code == OK
        # In place of what was there.
        [row] = rows(folder)
        assert row["versions"] == shown


def test_what_cannot_be_published(folder, daemon, tree):
    names = [tree / "none", tree / "empty", tree, "/dev/null", tree / "a"]
    result = folder.ctl("publish", *names)
    assert result.code == FAILED
    assert len(result.err.splitlines()) == 4
    assert all(str(n) in result.err for n in names[:-1])
    assert paths(folder) == [str(tree / "a")]
    document = folder.ctl("--json", "publish", *names)
    assert document.code == FAILED
    assert [f["path"] for f in document.json["failed"]] == [
        str(n) for n in names[:-1]]
    assert [p["path"] for p in document.json["published"]] == [
        str(tree / "a")]


def test_a_fresh_file_is_waited_for(folder, daemon):
    path = make(folder.path / "fresh", 1000)
    began = time.monotonic()
    result = folder.ctl("publish", path)
    assert (result.code, result.err) == (OK, "")
    assert paths(folder) == [str(path)]
    assert time.monotonic() - began < DEADLINE


def test_a_busy_file_is_not_published(folder, daemon):
    path = make(folder.path / "busy", 1000)
    # As if it had been written just now, however slow this machine is.
    ahead = time.time() + 3600
    os.utime(path, (ahead, ahead))
    result = folder.ctl("publish", path)
    assert result.code == FAILED
    assert "two seconds" in result.err
    assert rows(folder) == []


def test_changed_files_are_dropped(folder, daemon):
    names = ["write", "replace", "remove", "touch", "stays"]
    files = {n: make(folder.path / n, 70000) for n in names}
    other = make(folder.path / "other", 70000)
    settle(*files.values())
    assert folder.ctl("publish", *files.values()).code == OK
    for path in files.values():
        assert information(folder, path) != NOT_FOUND_CODE
    with open(files["write"], "r+b") as file:
        file.write(b"x")
    other.rename(files["replace"])
    files["remove"].unlink()
    os.utime(files["touch"])
    stays = files.pop("stays")
    for path in files.values():
        assert information(folder, path) == NOT_FOUND_CODE
        assert gone(folder, path)
    assert paths(folder) == [str(stays)]
    assert information(folder, stays) != NOT_FOUND_CODE


def test_many(folder, daemon, tree):
    # More than one page of the list, and more than are worked on at once.
    many = tree.parent / "many"
    document = folder.json("publish", "-r", many)
    assert len(document["published"]) == MANY
    found = rows(folder)
    assert [r["id"] for r in found] == sorted(r["id"] for r in found)
    assert sorted(r["path"] for r in found) == sorted(
        str(p) for p in many.iterdir())
    assert len(folder.ctl("published", "ls").out.splitlines()) == MANY + 1


def test_hostile_names(folder, daemon):
    names = ["new\nline", "esc\x1b[2J", "\u00fcml", "quote\"'", "-r"]
    made = [make(folder.path / n, 10) for n in names]
    made.append(pathlib.Path(os.fsdecode(
        os.fsencode(folder.path) + b"/not utf \xff")))
    make(made[-1], 10)
    settle(*made)
    result = folder.ctl("publish", *made)
    assert result.code == OK, result.err
    assert "\x1b" not in result.out
    assert len(result.out.splitlines()) >= len(names) + 1
    assert len(rows(folder)) == len(made)
    listed = folder.ctl("published", "ls").out
    assert "\x1b" not in listed
    assert len(listed.splitlines()) == len(made) + 1
    for path in made:
        client = ipc.Client(folder.socket, DEADLINE)
        assert client.information(os.fsencode(path)) != NOT_FOUND_CODE
        client.close()


def test_publishing_is_switched_off(folder, daemons, tree):
    # Root publishes whatever the groups are.
    prefix = as_uid(OTHER_UID) if os.geteuid() == 0 else ()
    folder.write(Access__PublisherGroups="54321")
    daemons().start()
    result = folder.ctl("publish", tree / "a", tree / "link", prefix=prefix)
    assert result.code == LOCKED
    assert len(result.err.splitlines()) == 1


def test_progress_on_a_terminal(folder, daemon, tree):
    master, slave = pty.openpty()
    with subprocess.Popen(
            [CTL, "--socket", folder.socket, "publish", "-r", tree],
            stdout=slave, stderr=slave, stdin=subprocess.DEVNULL) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            shown += part
            if not part:
                break
        assert process.wait(DEADLINE) == OK
    os.close(master)
    assert b"publishing [" in shown and b"%" in shown
    assert b"published 4 files" in shown


def test_restart(folder, daemons, tree):
    first = daemons().start()
    changing = make(folder.path / "changing", 100)
    settle(changing)
    assert folder.ctl("publish", "-r", tree, changing).code == OK
    before = rows(folder)
    info = information(folder, tree / "deep" / "b")
    assert first.stop() == 0
    # Of files that changed while nobody looked nothing is said.
    changing.write_bytes(b"other")
    second = daemons().start()
    assert information(folder, changing) == NOT_FOUND_CODE
    assert gone(folder, changing)
    assert rows(folder) == [r for r in before if r["path"] != str(changing)]
    assert information(folder, tree / "deep" / "b") == info
    second.process.kill()
    second.wait()
    daemons().start()
    assert len(rows(folder)) == len(before) - 1
    assert information(folder, tree / "deep" / "b") == info
    # Numbers are not used again.
    [row] = folder.json("publish", changing)["published"]
    assert row["id"] > max(r["id"] for r in before)


@needs_root
def test_two_users(folder, daemons, tree):
    # Whoever is root may manage everything; everybody else his own.
    folder.write(Access__AdminGroup=0)
    daemons().start()
    other = as_uid(OTHER_UID)
    assert folder.ctl("publish", tree / "a").code == OK
    # The tool opens the file, so the file's rights count.
    result = folder.ctl("publish", tree / "hidden", prefix=other)
    assert result.code == FAILED
    assert "Permission denied" in result.err
    document = folder.json("publish", tree / "a", prefix=other)
    [his] = document["published"]
    assert his["uid"] == OTHER_UID
    # Each his own, the administrator all.
    assert [r["uid"] for r in rows(folder, prefix=other)] == [OTHER_UID]
    everything = rows(folder)
    assert sorted(r["uid"] for r in everything) == [0, OTHER_UID]
    [mine] = [r for r in everything if r["uid"] == 0]
    for command in (["published", "show"], ["unpublish"]):
        result = folder.ctl(*command, str(mine["id"]), prefix=other)
        assert (result.code, result.out) == (NOT_FOUND, "")
    assert information(folder, tree / "a", uid=OTHER_UID) != NOT_FOUND_CODE
    assert folder.ctl("unpublish", str(mine["id"])).code == OK
    # What is another's is not found under the path either.
    assert information(folder, tree / "a") == NOT_FOUND_CODE
    assert folder.ctl("unpublish", str(his["id"])).code == OK
    assert rows(folder) == []


@needs_root
def test_unseen_paths_are_told(folder, daemons, tree):
    """The service runs as somebody who may not look into the folder."""
    closed = folder.path / "closed"
    closed.mkdir(mode=0o700)
    path = make(closed / "file", 100)
    settle(path)
    for place in (folder.path, folder.config):
        os.chown(place, OTHER_UID, OTHER_UID)
    daemons(prefix=as_uid(OTHER_UID)).start()
    result = folder.ctl("publish", path)
    assert result.code == OK
    assert "cannot see this path" in result.err
    assert str(path) in result.err
    [row] = rows(folder)
    assert row["watched"] is False
    # It stays until it is taken back.
    path.write_bytes(b"changed")
    assert information(folder, path) != NOT_FOUND_CODE
    assert folder.ctl("unpublish", str(row["id"])).code == OK
    assert information(folder, path) == NOT_FOUND_CODE


@needs_root
def test_nobody_takes_all_the_room(folder, daemons, tree):
    folder.write(HashCache__MaxSize="1M")
    daemons().start()
    other = as_uid(OTHER_UID)
    result = folder.ctl("publish", "-r", tree.parent / "many", prefix=other)
    assert result.code == FAILED
    assert "than one user may" in result.err
    assert 0 < len(rows(folder, prefix=other)) < MANY
    used = folder.json("cache", "show")["hash"]
    assert used["bytes"] <= used["max_bytes"] / 2
    assert folder.ctl("publish", "-r", tree).code == OK


@needs_root
def test_paths_of_others_are_not_told(folder, daemon):
    """A publication says "watched" when the service was led to the file; the
    way must not say what is in folders that the user may not search."""
    closed = folder.path / "closed"
    (closed / "there").mkdir(parents=True)
    closed.chmod(0o700)
    path = make(folder.path / "mine", 100)
    link = folder.path / "link"
    settle(path)
    client = ipc.Client(folder.socket, DEADLINE, uid=OTHER_UID)

    def publish(name):
        with open(path, "rb") as file:
            number, code = client.attempt(
                42, ipc.data(1, os.fsencode(name)) + ipc.u(2, 1),
                [file.fileno()])
        if code != 0:
            return code
        fields = client.expect(ipc.COMPLETE)[1]
        assert fields.get(1, 0) == 0
        return fields.get(2, 0) == 1

    assert publish(path) is True
    for name in ("there", "not there"):
        way = f"{closed}/{name}/../../mine"
        assert publish(way) == 87
        link.symlink_to(way)
        assert publish(link) is False
        link.unlink()
    client.close()
