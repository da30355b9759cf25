# SPDX-License-Identifier: BSD-2-Clause
"""Files that change while they are given out: replaced, cut, grown, touched,
overwritten, removed, closed to all, made folders, at every point of the way.
Content information is never that of another version than the answer's entity
tag says, and never given for what a file is no more."""

import contextlib
import ctypes
import os
import threading
import time

import pytest

from conftest import DEADLINE
from website import (ASK_2, OLD, encoded, makes_hash, noise, plain, site_of,
                     unprivileged, wait_until)

SIZE = 200000
RENAME_EXCHANGE, AT_FDCWD = 2, -100
LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    """Swaps two names; neither's content is touched."""
    if LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other),
                      RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


# What happens to a file: None, or its bytes after that.

def replaced(file):
    new = noise(SIZE, 2)
    other = file.path.with_name(file.path.name + ".new")
    other.write_bytes(new)
    os.utime(other, (OLD, OLD))
    other.rename(file.path)
    return new


def cut(file):
    os.truncate(file.path, SIZE - 70000)
    return file.octets[:SIZE - 70000]


def cut_and_filled(file):
    """Its size and its time are as before."""
    os.truncate(file.path, 0)
    new = noise(SIZE, 3)
    file.path.write_bytes(new)
    os.utime(file.path, (OLD, OLD))
    return new


def grown(file):
    with open(file.path, "ab") as out:
        out.write(b"more")
    return file.octets + b"more"


def touched(file):
    os.utime(file.path)
    return file.octets


def touched_back(file):
    """Nothing but its change time tells."""
    os.utime(file.path, (OLD, OLD))
    return file.octets


def overwritten(file):
    with open(file.path, "r+b") as out:
        out.seek(100000)
        out.write(b"other bytes")
    return file.octets[:100000] + b"other bytes" + file.octets[100011:]


def overwritten_unseen(file):
    """As touch -r makes it."""
    new = overwritten(file)
    os.utime(file.path, (OLD, OLD))
    return new


def mapped(file):
    """Written without write()."""
    import mmap
    with open(file.path, "r+b") as out, mmap.mmap(out.fileno(), 0) as area:
        area[5:8] = b"new"
        area.flush()
    return file.octets[:5] + b"new" + file.octets[8:]


def linked(file):
    """Another file by a symbolic link of its name."""
    new = noise(SIZE, 5)
    other = file.path.with_name(file.path.name + ".target")
    other.write_bytes(new)
    os.utime(other, (OLD, OLD))
    file.path.unlink()
    file.path.symlink_to(other.name)
    return new


def removed(file):
    file.path.unlink()
    return 404


def closed(file):
    file.path.chmod(0)
    return 403


def made_folder(file):
    file.path.unlink()
    file.path.mkdir()
    return 301


def made_fifo(file):
    file.path.unlink()
    os.mkfifo(file.path)
    return (403, 404)


CHANGES = [replaced, cut, cut_and_filled, grown, touched, touched_back,
           overwritten, overwritten_unseen, mapped, linked, removed, closed,
           made_folder, made_fifo]
# Of a large file, which is hashed at that moment.
LONG_SIZE = 96 << 20


def long_written(file):
    with open(file.path, "r+b") as out:
        out.seek(99)
        out.write(b"x")
    os.utime(file.path, (OLD, OLD))
    return bytes(99) + b"x" + bytes(LONG_SIZE - 100)


def long_cut(file):
    os.truncate(file.path, SIZE)
    os.utime(file.path, (OLD, OLD))
    return bytes(SIZE)


def long_touched(file):
    os.utime(file.path, (OLD, OLD))
    return bytes(LONG_SIZE)


LONG = [replaced, long_written, long_cut, long_touched, removed]
WHEN = ["unhashed", "waiting", "hashed", "cached"]


@pytest.fixture(scope="module")
def site():
    """Of a daemon that may not read everything."""
    with site_of(uid=unprivileged()) as made:
        made.kept = made.put("kept", size=SIZE)
        made.old = {(when, change): made.put(f"{when}/{change.__name__}",
                                             noise(SIZE, 1))
                    for when in WHEN for change in CHANGES}
        made.sent = {name: made.put(f"sent/{name}", noise(24 << 20, 4))
                     for name in ("replaced", "removed", "grown", "touched",
                                  "info", "closed", "cut1000",
                                  "cut20971520")}
        made.long = {(turn, change):
                     made.put(f"long{turn}/{change.__name__}", b"")
                     for turn in (0, 1) for change in LONG}
        for file in made.long.values():
            os.truncate(file.path, LONG_SIZE)
            os.utime(file.path, (OLD, OLD))
        made.versions = [made.put(f"versions/{i}", noise(SIZE + 1000 * i, i))
                         for i in range(4)]
        made.trees = [made.put(f"tree{i}/file", noise(SIZE, 10 + i))
                      for i in range(2)]
        made.swapped = [made.put(f"swap{i}/file", bytes(1)) for i in range(2)]
        os.truncate(made.swapped[0].path, LONG_SIZE)
        made.swapped[1].octets = noise(SIZE, 20)
        made.swapped[1].path.write_bytes(made.swapped[1].octets)
        made.settle()
        yield made


@pytest.fixture(scope="module")
def changed(site):
    """Each way of changing a file, at four points: before it was ever asked
    for, while it waits to be hashed, when it has been, and when its hashes are
    in memory.  What came before and after."""
    found = {}
    before = {}
    for key, file in site.old.items():
        if key[0] == "waiting":
            # Also hashed by now, or being so: any of these will do.
            before[key] = site.ask(file)
        elif key[0] != "unhashed":
            site.ask(file)
    site.hashed(*(f for (when, _), f in site.old.items()
                  if when in ("hashed", "cached")))
    for key, file in site.old.items():
        if key[0] == "cached":
            before[key] = encoded(site.ask(file), file, 2, "1.1")
        elif key[0] == "hashed":
            before[key] = site.get(file)
    for key, file in site.old.items():
        new = key[1](file)
        first = site.ask(file)
        found[key] = before.get(key), first, new
    return found


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", WHEN)
def test_next_answer(changed, when, change):
    """It is never encoded: nothing is known of what the file is now."""
    before, answer, new = changed[when, change]
    if not isinstance(new, bytes):
        assert answer.status in (new if isinstance(new, tuple) else (new,))
        assert not answer.is_encoded and not makes_hash(answer)
        return
    assert makes_hash(plain(answer, new))
    if before is not None:
        assert before.etag != answer.etag


@pytest.mark.parametrize("when", WHEN)
def test_later_answers(site, changed, when):
    """New hashes come, those of the new bytes."""
    files = []
    for change in CHANGES:
        _, _, new = changed[when, change]
        if isinstance(new, bytes):
            file = site.old[when, change]
            file.octets = new
            files.append(file)
    site.hashed(*files)
    for file in files:
        encoded(site.ask(file), file, 2, "1.1")
        encoded(site.ask(file, version=1), file, 1, "1.0")
        plain(site.get(file), file.octets)
    assert len(files) > 8


def test_old_conditions_fail(site):
    """What a client holds of an older version is refused."""
    file = site.put("conditions", size=SIZE)
    old = site.get(file)
    overwritten_unseen(file)
    new = site.get(file)
    assert new.etag != old.etag
    # All that a date can tell is as before.
    assert new.get("Last-Modified") == old.get("Last-Modified")
    assert site.get(file, f"If-None-Match: {old.etag}").status == 200
    assert site.get(file, f"If-Match: {old.etag}").status == 412
    answer = site.get(file, f"If-Range: {old.etag}", "Range: bytes=0-99")
    plain(answer, file.path.read_bytes())


# While it is sent.

@contextlib.contextmanager
def halfway(site, name):
    """A client that has taken the head only, of an answer that does not fit
    into what lies between."""
    file = site.sent[name]
    with site.link(room=16384) as link:
        link.send(file.target)
        head = link.head()
        assert head.length == len(file.octets)
        yield file, link, head


@pytest.mark.parametrize("name", ["replaced", "removed", "grown", "touched",
                                  "closed"])
def test_sent_to_its_end(site, name):
    """Of the file as it was: the descriptor is what is sent."""
    with halfway(site, name) as (file, link, head):
        if name == "replaced":
            other = site.put("sent/other", noise(24 << 20, 9))
            other.path.rename(file.path)
        elif name == "removed":
            file.path.unlink()
        elif name == "grown":
            with open(file.path, "ab") as out:
                out.write(b"more" * 100000)
        elif name == "touched":
            os.utime(file.path)
        else:
            file.path.chmod(0)
        plain(link.body(head), file.octets)
        assert link.ask("/none").status == 404


@pytest.mark.parametrize("size", [20 << 20, 1000])
def test_cut_while_sent(site, size):
    """The connection ends before the body does, so that nobody takes it for
    whole; others do not notice."""
    with halfway(site, f"cut{size}") as (file, link, head):
        with site.link() as other:
            os.truncate(file.path, size)
            link.body(head)
            assert head.cut > 0
            # The kernel cleans the rest of a cut page also where it is on its
            # way already.
            if size % 4096 == 0:
                assert file.octets.startswith(head.body)
                assert len(head.body) >= size // 2
            assert link.ended()
            plain(other.ask(site.kept.target), site.kept.octets)


def test_information_while_it_changes(site):
    """What was given is of the version that its fields name."""
    file = site.hashed(site.sent["info"])
    with site.link(room=4096) as link:
        link.send(file.target, *ASK_2)
        head = link.head()
        replaced(file)
        encoded(link.body(head), file, 2, "1.1")
        answer = link.ask(file.target, *ASK_2)
        assert not answer.is_encoded and answer.etag != head.etag


# While it is hashed.

def views(site):
    web = site.web
    return web["files_waiting"] + web["files_hashing"]


@pytest.mark.parametrize("turn", [0, 1])
def test_while_it_is_hashed(site, turn):
    """Files that are large enough to be met while they are read, and others
    that wait for their turn; what is there in the end is what is described."""
    wait_until(lambda: views(site) == 0, "end of hashing")
    files = {change: site.long[turn, change]
             for change in (LONG if turn else reversed(LONG))}
    tags = {}
    with site.link() as link:
        def ask(file):
            return site.ask(file, "Range: bytes=0-99999", link=link)

        for file in files.values():
            first = ask(file)
            assert makes_hash(plain(first, bytes(100000), 206))
            tags[file] = first.etag
        # It may be over where that goes fast.
        wait_until(lambda: site.web["files_hashing"] > 0 or views(site) == 0,
                   "hashing")
        for change, file in files.items():
            file.octets = change(file)
        for file, old in tags.items():
            answer = ask(file)
            if not isinstance(file.octets, bytes):
                assert answer.status == file.octets
                continue
            plain(answer, file.octets[:100000], 206)
            assert answer.etag != old
            tags[file] = answer.etag
        for file, etag in tags.items():
            if not isinstance(file.octets, bytes):
                continue

            def again():
                answer = ask(file)
                assert answer.etag == etag
                return answer.is_encoded
            wait_until(again, f"hashes of {file.name}")
            encoded(site.ask(file, link=link), file, 2, "1.1")
            encoded(site.ask(file, link=link, version=1), file, 1, "1.0")
    wait_until(lambda: views(site) == 0, "end of hashing")


def test_folders_change_places_while_hashed(site):
    """The path of what is read is another file's now, which is hashed in its
    turn, though it has the other's name."""
    wait_until(lambda: views(site) == 0, "end of hashing")
    old, new = site.swapped
    assert makes_hash(site.ask(old, "Range: bytes=0-99999"))
    wait_until(lambda: site.web["files_hashing"] > 0 or views(site) == 0,
               "hashing")
    exchange(site.root / "swap0", site.root / "swap1")
    with site.link() as link:
        plain(link.ask("/swap0/file"), new.octets)
        wait_until(lambda: link.ask("/swap0/file", *ASK_2).is_encoded,
                   "hashes")
        encoded(link.ask("/swap0/file", *ASK_2), new, 2, "1.1")


# Under load.

class Readers:
    """Clients that ask for a file in all ways, all the time, and judge each
    answer by its entity tag.  known: the bytes of each tag."""

    def __init__(self, site, target, files, known, count=4):
        self.site, self.target = site, target
        self.files = {known[f.name]: f for f in files}
        self.going = True
        self.faults = []
        self.tags = {}
        self.encoded = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,))
                        for i in range(count)]
        for thread in self.threads:
            thread.start()

    def judge(self, answer, version, ranged):
        file = self.files[answer.etag]
        with self.lock:
            self.tags[answer.etag] = self.tags.get(answer.etag, 0) + 1
            self.encoded += answer.is_encoded
            if not answer.is_encoded:
                octets = file.octets[70000:150000] if ranged else file.octets
                plain(answer, octets, 206 if ranged else 200)
            elif ranged:
                encoded(answer, file, version, "1.0" if version == 1 else
                        "1.1", 70000, 80000)
            else:
                encoded(answer, file, version, "1.0" if version == 1 else "1.1")

    def run(self, number):
        try:
            with self.site.link() as link:
                turn = number
                while self.going:
                    turn += 1
                    ranged = turn % 3 == 0
                    fields = ["Range: bytes=70000-149999"] if ranged else []
                    if turn % 5 == 0:
                        answer = link.ask(self.target, *fields)
                        version = None
                    else:
                        version = 1 + turn % 2
                        link.send(self.target, *self.asked(version), *fields)
                        answer = link.receive()
                    self.judge(answer, version, ranged)
        except BaseException as fault:  # told by stop()
            self.faults.append(fault)

    @staticmethod
    def asked(version):
        from website import ASK
        return ASK[version]

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join(DEADLINE)
        assert not self.faults, self.faults
        assert not any(t.is_alive() for t in self.threads)


def test_versions_by_turns(site):
    """A name that is one of four files, another one every few milliseconds: a
    symbolic link that is replaced, so that the files stay as they are."""
    name = site.root / "current"
    name.symlink_to("versions/0")
    site.hashed(*site.versions)
    known = {}
    for file in site.versions:
        known[file.name] = encoded(site.ask(file), file, 2, "1.1").etag
        encoded(site.ask(file, version=1), file, 1, "1.0")
    readers = Readers(site, "/current", site.versions, known)
    try:
        turns = 0

        def turned():
            nonlocal turns
            turns += 1
            new = site.root / "current.new"
            new.symlink_to(f"versions/{turns % 4}")
            new.rename(name)
            return turns > 200 and len(readers.tags) == 4 or readers.faults
        wait_until(turned, "all versions")
    finally:
        readers.stop()
    assert readers.encoded > 50


def test_folders_by_turns(site):
    """Two trees change places."""
    site.hashed(*site.trees)
    known = {f.name: site.get(f).etag for f in site.trees}
    for file in site.trees:
        encoded(site.ask(file), file, 2, "1.1")
    readers = Readers(site, "/tree0/file", site.trees, known)
    try:
        turns = 0

        def turned():
            nonlocal turns
            turns += 1
            exchange(site.root / "tree0", site.root / "tree1")
            return turns > 200 and len(readers.tags) == 2 or readers.faults
        wait_until(turned, "both")
    finally:
        readers.stop()
    assert readers.encoded > 50


def test_written_all_the_time(site):
    """A file that is never old enough is never described, and is given out
    nevertheless; when it rests, it is."""
    file = site.put("busy", bytes(SIZE))
    end = time.monotonic() + 2.5
    turns = 0
    with site.link() as link:
        while time.monotonic() < end:
            turns += 1
            octets = bytes([turns % 256]) * SIZE
            with open(file.path, "r+b") as out:
                out.write(octets)
            os.utime(file.path, (OLD, OLD))
            plain(site.ask(file, link=link), octets)
    file.octets = octets
    site.hashed(file)
    encoded(site.ask(file), file, 2, "1.1")


def test_nothing_is_left_behind(site):
    """Of all that could not be hashed, or is no more."""
    wait_until(lambda: views(site) == 0, "end of hashing")
    pid = site.daemon.process.pid
    with contextlib.suppress(PermissionError):
        def descriptors():
            found = []
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    found.append(os.readlink(entry.path))
            return [f for f in found if f.startswith(str(site.root) + "/")]
        wait_until(lambda: descriptors() == [], "no files open")
