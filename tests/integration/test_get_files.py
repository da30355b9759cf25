# SPDX-License-Identifier: BSD-2-Clause
"""peerdist-get and the files that it writes, where others can write too: a part
or a note that is not its own, a part that loses its name, a finished file that
somebody changes; and that nothing gets the file's name that is not right."""

import errno
import fcntl
import json
import os
import select
import signal
import struct
import termios
import threading

import pytest

import content
import lab
from conftest import DEADLINE, OTHER_UID, needs_root
from getting import FAILED, FILE, NETWORK, OK, Patients, hosts, parts_of
from origin import PEERDIST, PEERDIST_EX, Origin, Page, closes

BLOCK = content.BLOCK
SIZE = 9 * BLOCK + 123
MIB = 1 << 20
versions = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture(scope="module")
def host():
    with hosts() as (made,):
        yield made


@pytest.fixture
def origin():
    with Origin() as made:
        yield made


def serve(origin, version=0, size=SIZE, path="/file", **more):
    page = origin.add(path, Page(os.urandom(size), version, **more))
    page.url = origin.url(path)
    return page


def broken(host, origin, page):
    """A download of which half came before the server closed."""
    page.twist("content", lambda _r, a: a.split(SIZE // 2, closes))
    got = host.get(page.url).is_stopped()
    page.twists.clear()
    origin.forget()
    return got


@pytest.fixture(scope="module", autouse=True)
def patients(host):
    """A description that is long in coming, while other tests run."""
    made = Patients(host)
    page = Page(os.urandom(SIZE), 1, ready=False)

    def slow(request, _answer):
        page.ready = True
        # Longer than it waits for an answer, unless it goes away.
        return page.answer(request).split(
            100, lambda: select.select([request.connection], [], [], 12))
    page.once("hash", slow)
    made.begin("slow description", page)
    yield made
    made.close()


# Names in a folder where others can write.

@needs_root
@pytest.mark.parametrize("what", ["file", "pipe", "link"])
def test_note_of_somebody_else(host, origin, what):
    """It would say of any bytes that they are the first of this file."""
    page = serve(origin)
    got = broken(host, origin, page)
    part, note = parts_of(got.path)
    part.write_bytes(os.urandom(SIZE // 2))
    if what == "pipe":
        note.unlink()
        os.mkfifo(note)
    elif what == "link":
        note.rename(note.with_name("elsewhere"))
        note.symlink_to("elsewhere")
    if what != "link":
        os.chown(note, OTHER_UID, OTHER_UID)
    done = host.get(page.url, "--continue", path=got.path)
    assert (done.code, done.octets) == (OK, page.octets)
    assert origin.requests[0].get("Range") is None


def test_note_cannot_be_removed(host, origin):
    """A folder has its name."""
    page = serve(origin)
    path = host.place()
    parts_of(path)[1].mkdir()
    got = host.get(page.url, path=path)
    assert got.code == FILE and "is not ours" in got.err
    assert got.octets is None


def paused(host, origin, **more):
    """A download that stops in its middle until the event is set."""
    page = serve(origin, size=2 * MIB, **more)
    go = threading.Event()
    page.twist("content", lambda _r, a: a.split(MIB, lambda: go.wait(DEADLINE)))
    running = host.begin(page.url)
    part, _ = parts_of(running.path)
    lab.wait_until(lambda: part.exists() and part.stat().st_size >= MIB // 2,
                   "half of the part")
    return page, running, part, go


@pytest.mark.parametrize("what", ["replaced", "removed", "renamed over"])
def test_part_loses_its_name(host, origin, what):
    """What has it now is not renamed, and stays."""
    _, running, part, go = paused(host, origin)
    if what == "renamed over":
        other = part.with_name("other")
        other.write_bytes(b"other")
        other.rename(part)
    else:
        part.unlink()
    if what == "replaced":
        part.write_bytes(b"other")
    go.set()
    got = running.end()
    assert (got.code, got.octets) == (FILE, None)
    assert "removed or replaced" in got.err
    if what != "removed":
        assert part.read_bytes() == b"other"


def test_another_begins_after_the_part_was_removed(host, origin):
    """The first one does not take the other's incomplete part for its own."""
    page, running, part, go = paused(host, origin)
    part.unlink()
    stays = threading.Event()
    page.twist("content", lambda _r, a: a.split(
        BLOCK, lambda: stays.wait(DEADLINE)))
    second = host.begin(page.url, path=running.path)
    lab.wait_until(lambda: part.exists() and part.stat().st_size > 0,
                   "the other part")
    go.set()
    first = running.end()
    assert (first.code, first.octets) == (FILE, None)
    stays.set()
    second.end().is_complete(page.octets)


def test_mode_of_a_part_of_before(host, origin):
    page = serve(origin)
    path = host.place()
    part, _ = parts_of(path)
    part.write_bytes(b"x")
    part.chmod(0o666)
    got = host.get(page.url, path=path, prefix=[
        "sh", "-c", 'umask 077; exec "$@"', "sh"])
    got.is_complete(page.octets)
    assert got.path.stat().st_mode & 0o777 == 0o600


# The file's name is for what is right.

def lies(page, octets, version):
    """The server always sends the file, and always describes other bytes."""
    other = Page(octets, version, page.etag, page.modified)

    def ask(_request, answer):
        answer.fields[PEERDIST] = "Version=1.1"
        answer.fields[PEERDIST_EX] = "MakeHashRequest=true"
    for kind in ("content", "plain"):
        page.twist(kind, ask)
    return other


@versions
@pytest.mark.parametrize("size", [SIZE, SIZE - 1, BLOCK])
def test_never_what_was_described(host, origin, version, size):
    """The old file stays."""
    page = serve(origin)
    other = lies(page, os.urandom(size), version)
    page.twist("hash", lambda _r, _a: Page.encoded(other.now))
    path = host.place()
    path.write_bytes(b"old")
    got = host.get(page.url, "--wait", "0", path=path)
    assert (got.code, got.octets, got.left) == (NETWORK, b"old", ["file"])


def test_never_what_was_described_later(host, origin):
    """It got its name before there were hashes: it does not keep it."""
    page = serve(origin)
    other = lies(page, os.urandom(SIZE), 1)

    def hashes(_request, answer):
        return Page.encoded(other.now) if len(origin.of("hash")) > 1 \
            else answer
    page.twist("hash", hashes)
    got = host.get(page.url, "--wait", "6s")
    assert (got.code, got.octets, got.left) == (NETWORK, None, [])


@versions
def test_checked_before_it_appears(host, origin, version):
    """When its hashes come at once."""
    page = serve(origin, version, ready=False)
    old = page.octets
    path = host.place()
    path.write_bytes(b"old")
    seen = []

    def change(_request, _answer):
        page.change(os.urandom(SIZE), page.etag, page.modified)
        page.ready = True
    page.once("content", change)
    page.twist("plain", lambda _r, _a: seen.append(path.read_bytes()))
    got = host.get(page.url, "--wait", "0", path=path)
    got.is_complete(page.octets)
    assert old != page.octets and seen == [b"old"]


@versions
@pytest.mark.parametrize("right", [True, False])
def test_checked_without_a_service(origin, version, right):
    """It is killed when the hashes come."""
    with hosts() as (host,):
        page = serve(origin, version, size=5 * MIB + 3, ready=False)
        old = page.octets

        def hashes(request, _answer):
            host.daemon.signal(signal.SIGKILL)
            host.daemon.wait()
            page.ready = True
            if not right:
                page.change(old[:-1] + bytes([old[-1] ^ 1]), page.etag,
                            page.modified)
            return page.answer(request)
        page.once("hash", hashes)
        got = host.get(page.url, "--wait", "0")
        got.is_complete(page.octets)
        assert got.document["given_to_cache"] == 0
        assert got.document["restarts"] == (0 if right else 1)
        assert ("not given to the cache" in got.err) == right


@pytest.mark.parametrize("how", ["written", "renamed over", "removed"])
def test_changed_here_while_it_waits(host, origin, how):
    """Then it is not the server's any more, and not made anew."""
    page = serve(origin, 1, ready=False)
    running = host.begin(page.url)
    lab.wait_until(running.path.exists, "the file")
    origin.wait_request("hash")
    if how == "written":
        with open(running.path, "r+b") as file:
            file.write(b"my work")
    elif how == "renamed over":
        mine = running.path.with_name("mine")
        mine.write_bytes(b"my work")
        mine.rename(running.path)
    else:
        running.path.unlink()
    page.ready = True
    got = running.end()
    assert got.code == OK
    if how == "written":
        assert got.octets == b"my work" + page.octets[7:]
        assert "has been changed here" in got.err
    else:
        assert got.octets == (None if how == "removed" else b"my work")


def test_description_takes_its_time(patients):
    """It is not asked for again while it comes."""
    page, got = patients.end("slow description")
    got.is_complete(page.octets)
    told = got.document
    assert told["given_to_cache"] == SIZE
    assert told["peerdist"]["hash_requests"] == 1


# Continuing with the date only.

@pytest.mark.parametrize("date, strong", [
    ("Sun, 01 Nov 2026 10:00:01 GMT", True), (None, True),
    ("Sun, 01 Nov 2026 10:00:00 GMT", False),
    ("Sun, 01 Nov 2026 09:59:59 GMT", False), ("soon", False)])
def test_modified_when_it_was_sent(host, origin, date, strong):
    """Later in the same second there may be another with the same date."""
    page = serve(origin, etag=None)

    def twist(_request, answer):
        if date is not None:
            answer.fields["Date"] = date
        return answer.split(1000, closes)
    page.twist("content", twist)
    got = host.get(page.url)
    assert got.code == NETWORK
    assert bool(got.left) == strong


def test_no_weak_date_in_if_range(host, origin):
    page = serve(origin, 1, etag=None)
    page.twist("content", lambda _r, a: a.fields.update(
        {"Date": page.modified}))
    host.get(page.url).is_complete(page.octets)
    assert origin.of("range")
    assert {r.get("If-Range") for r in origin.of("range")} == {None}


# Answers.

def test_trailers_are_no_fields(host, origin):
    """Also where there is no body before them."""
    page = serve(origin, size=0)

    def twist(_request, answer):
        del answer.fields["Content-Length"]
        answer.fields["Transfer-Encoding"] = "chunked"
        answer.body = iter([b"0\r\nContent-Encoding: gzip\r\n\r\n"])
    page.twist("content", twist)
    got = host.get(page.url).is_complete(b"")
    assert got.document["restarts"] == 0


def test_description_misfits_twice(host, origin):
    page = serve(origin, 1, ready=False)

    def misfit(_request, _answer):
        answer = Page.encoded(page.now)
        answer.fields[PEERDIST] = f"Version=1.1, ContentLength={SIZE + 1}"
        return answer
    page.twist("hash", misfit)
    host.get(page.url, "--wait", "6s").is_complete(page.octets)
    assert len(origin.of("hash")) == 2


@pytest.mark.parametrize("length", [(1 << 63) - 1, (1 << 63) - 2, 1 << 63,
                                    (1 << 64) - 1])
def test_huge_length(host, origin, length):
    page = serve(origin, etag=None, modified=None)

    def twist(_request, answer):
        answer.fields["Content-Length"] = str(length)
        return answer.split(SIZE, closes)
    page.twist("content", twist)
    host.get(page.url).is_failed()


# What is said.

def test_name_that_is_no_text(host, origin):
    page = serve(origin)
    path = host.place().parent / os.fsdecode(b"a\xffb")
    got = host.get(page.url, path=path)
    assert (got.code, got.octets) == (OK, page.octets)
    assert got.document["file"] == str(path).replace("\udcff", "?")
    path.unlink()
    path.mkdir()
    got = host.begin(page.url, path=path).process
    out, _ = got.communicate(timeout=DEADLINE)
    assert got.returncode == FILE
    assert "a?b" in json.loads(out)["error"]["message"]


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("version", [0, 1])
def test_standard_output_is_closed(host, origin, version, closed):
    """No file of its own takes the place."""
    page = serve(origin, version)
    prefix = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    got = host.begin(page.url, path="-", json=False, prefix=prefix).process
    got.communicate(timeout=DEADLINE)
    assert got.returncode == FILE
    path = host.place()
    got = host.get(page.url, path=path, prefix=prefix)
    assert (got.code, got.octets) == (FILE, page.octets)
    got = host.get(page.url, path=path, json=False, prefix=prefix)
    assert (got.code, got.octets) == (OK, page.octets)


@versions
def test_interrupted_while_nobody_reads(host, origin, version):
    """Standard output is a pipe that is full."""
    page = serve(origin, version, size=3 * MIB)
    host.get(page.url).is_complete(page.octets)  # to have it at once
    ours, theirs = os.pipe()
    running = host.begin(page.url, path="-", json=False, stdout=theirs)
    os.close(theirs)

    def is_full():
        told = fcntl.ioctl(ours, termios.FIONREAD, b"\0" * 4)
        return struct.unpack("i", told)[0] >= 1 << 16
    lab.wait_until(is_full, "a full pipe")
    wait_for_write(running.process.pid)
    running.signal(signal.SIGINT)
    _, said = running.process.communicate(timeout=DEADLINE)
    os.close(ours)
    assert running.process.returncode == FAILED
    assert b"interrupted" in said


# A name server that has no time, in a network of its own.
NO_NAMES = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"],
               check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
server.set_inheritable(True)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@needs_root
def test_interrupted_while_a_name_is_looked_up(host):
    settings = host.path / "resolv.conf"
    settings.write_text("nameserver 127.0.0.1\noptions timeout:25\n")
    running = host.begin("http://far.example/file", prefix=[
        "unshare", "-m", "-n", "/usr/bin/python3", "-c", NO_NAMES, settings])

    def has_asked():
        """There is something in the server's queue."""
        with open(f"/proc/{running.process.pid}/net/udp",
                  encoding="ascii") as file:
            rows = [line.split() for line in file]
        return any(row[1] == "0100007F:0035" and
                   not row[4].endswith(":00000000") for row in rows)
    lab.wait_until(has_asked, "a question")
    running.signal(signal.SIGINT).end().is_failed(FAILED)


def wait_for_write(pid):
    """Until it sleeps in a write."""
    def is_writing():
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            return file.read().split()[0] == "1"
    lab.wait_until(is_writing, "a write that waits")
