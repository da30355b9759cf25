# SPDX-License-Identifier: BSD-2-Clause
"""Bad disks: full, read-only, calls that fail, files that shrink, flipped bits.
Reads go on, adds say what is wrong, the log says it once, nothing wrong is ever
served, and what was durable is there when the disk is well again.

Faults of single calls are made by tests/crash/shim.c.
"""

import contextlib
import errno
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

from conftest import BUILD, DEADLINE, ROOT, needs_root, temporary_folder

sys.path.append(str(ROOT / "tests/crash"))

import disk  # noqa: E402
import world  # noqa: E402
from disk import Control  # noqa: E402

SOAK = os.environ.get("SOAK") == "1"
SHIM = BUILD / "tests/crash/shim.so"
DISK_FULL, IO_DEVICE = 112, 1117
OWNER = (None, b"tag".ljust(16))
KIB, MIB = 1 << 10, 1 << 20


class Scene:
    """A store, what is in it by a model, and its daemon."""

    def __init__(self, path, **settings):
        self.place = world.Place(path, **settings)
        self.rng = random.Random(11)
        self.model = world.Model()
        self.made = []
        self.life = self.client = None

    def start(self, prefix=()):
        self.life = world.Life(self.place, prefix=prefix)
        self.life.start()
        self.client = world.Client(self.place.socket)
        return self

    def fresh(self, size=3 * 65536 + 100):
        """A content that nobody has yet."""
        self.made.append(world.content1(
            f"{len(self.made)}", self.rng.randbytes(size),
            self.rng.randbytes(32)))
        return self.made[-1]

    def add(self, what):
        keys = what.keys
        self.model.add("adding", keys, [n for _, n in what.units], OWNER)
        code, = self.client.add_many(
            self.client.handle(what, OWNER[1]), [(0, what.octets)])
        if code == 0:
            self.model.add("did_add", keys, OWNER)
        return code

    def sync(self, also=()):
        """All that was added becomes durable, even if it takes some time until
        adds do not end with this code any more."""
        marker = (None, b"marker".ljust(16))
        what = self.fresh(1)
        self.model.add("adding", what.keys, [1], marker)
        end = time.monotonic() + DEADLINE
        while True:
            code, = self.client.add_many(
                self.client.handle(what, marker[1]), [(0, what.octets)])
            if code == 0:
                break
            assert code in also and time.monotonic() < end, code
            select.select([], [], [], 0.02)
        self.model.add("flushing", marker)
        assert self.client.flush(marker[1]) == 0
        self.model.add("flushed", marker)

    def read(self, what, also=()):
        """Whether all of it is there; what is, is right."""
        found = self.client.read_units(what, also)
        for i, octets in enumerate(found):
            assert octets is None or octets == what.unit(i)
        return None not in found

    def add_until(self, code, other, between=lambda: None):
        """Adds new contents until one ends with this code."""
        end = time.monotonic() + DEADLINE
        while True:
            between()
            found = self.add(self.fresh())
            if found == code:
                return
            assert found in other and time.monotonic() < end, found
            select.select([], [], [], 0.02)

    def said(self, mark):
        """Lines of the log about the store since then."""
        lines = self.life.log()[mark:].splitlines()
        return [line for line in lines if str(self.place.root) in line]

    def mark(self):
        return len(self.life.log())

    def end(self):
        self.client.close()
        assert self.life.stop() == 0
        self.model.add("ended_well")
        self.life.close(quiet=True)

    def lost(self, status):
        """The daemon ended by itself."""
        self.client.close()
        found = self.life.wait()
        text = self.life.log()
        self.life.close(quiet=True)
        assert found == status, text
        return text

    def examine(self, damage=world.DAMAGE):
        """In a new life."""
        life = world.Life(self.place).start()
        try:
            found = world.examine(self.place, self.model.at(), self.made,
                                  damage)
            assert life.stop() == 0
            return found
        finally:
            life.close(quiet=True)


@pytest.fixture
def make_scene():
    with contextlib.ExitStack() as stack:
        def make(path=None, **settings):
            if path is None:
                path = stack.enter_context(temporary_folder())
            scene = Scene(path, **settings)
            stack.callback(lambda: scene.life and scene.life.close(True))
            return scene
        yield make


@pytest.fixture(scope="module", autouse=True)
def files():
    """To be published; old enough by then."""
    with temporary_folder() as path:
        rng = random.Random(13)
        for i in range(3):
            (path / f"file{i}").write_bytes(rng.randbytes(70000 + i))
        yield sorted(path.iterdir())


# Calls that fail.

def shimmed(scene):
    control = Control(scene.place.path / "control")
    scene.start(["env", f"LD_PRELOAD={SHIM}", f"CRASH_ROOT={scene.place.root}",
                 f"CRASH_CONTROL={control.path}",
                 "ASAN_OPTIONS=verify_asan_link_order=0"])
    return control


WRITES = [(kind, match, error, code)
          for kind in (Control.WRITE, Control.SYNC)
          for match in (".vol", "index.mdb")
          for error, code in ((errno.ENOSPC, DISK_FULL),
                              (errno.EIO, IO_DEVICE),
                              (errno.EROFS, IO_DEVICE))
          if kind == Control.WRITE or error == errno.EIO]


@pytest.mark.parametrize("kind, match, error, code", WRITES, ids=[
    f"{('read', 'write', 'sync')[k]}-{m}-{errno.errorcode[e]}"
    for k, m, e, _ in WRITES])
def test_writing_fails(make_scene, kind, match, error, code):
    full = error == errno.ENOSPC
    # Old volumes go, to make room: there are to be some.
    scene = make_scene(DataCache__MaxSize=(16 if full else 128) * MIB)
    scene.model.room = 0 if full else None
    control = shimmed(scene)
    kept = [scene.fresh(9 * 65536) for _ in range(16)]
    for what in kept:
        assert scene.add(what) == 0
    scene.sync()
    mark = scene.mark()

    def check_reads():
        there = [scene.read(what) for what in kept]
        # Not all of them go for room that is not to be had.
        assert sum(there) >= len(kept) // (2 if full else 1), there

    control.fail(kind, error, match)
    scene.add_until(code, (0,))
    assert control.failed(kind) > 0
    if (kind, match) == (Control.SYNC, ".vol"):
        scene.model.add("shaken")
    check_reads()
    for _ in range(20):
        assert scene.add(scene.fresh(1)) in (0, code)
    check_reads()
    assert scene.client.store()["health"] == (
        "full" if code == DISK_FULL else "failing")
    assert len(scene.said(mark)) == 1, scene.said(mark)
    control.heal()
    scene.add_until(0, (code,))
    scene.sync((code,))
    assert scene.client.store()["health"] == "healthy"
    assert len(scene.said(mark)) == 2, scene.said(mark)
    for what in scene.made:
        scene.read(what)
    scene.end()
    # A volume may have gone without the index being told.
    scene.examine(("rotten",) if full else world.DAMAGE)


def test_killed_while_writing_fails(make_scene):
    """What was not durable may be lost, but nothing else."""
    for error in (errno.ENOSPC, errno.EIO):
        scene = make_scene()
        control = shimmed(scene)
        kept = scene.fresh()
        assert scene.add(kept) == 0
        scene.sync()
        control.fail(Control.SYNC, error)
        scene.add(scene.fresh())
        control.fail(Control.WRITE, error)
        scene.add_until(DISK_FULL if error == errno.ENOSPC else IO_DEVICE,
                        (0, DISK_FULL, IO_DEVICE))
        scene.client.close()
        scene.life.close(quiet=True)
        scene.examine()


def test_reading_fails(make_scene):
    scene = make_scene()
    control = shimmed(scene)
    made = [scene.fresh() for _ in range(4)]
    assert [scene.add(what) for what in made] == [0] * 4
    scene.sync()
    mark = scene.mark()
    control.fail(Control.READ, errno.EIO, ".vol")
    for what in made:
        assert scene.client.read_units(what) == [None] * len(what.units)
    assert control.failed(Control.READ) > 0
    assert len(scene.said(mark)) <= 1, scene.said(mark)
    control.heal()
    for what in made:
        scene.read(what)
        # Another copy can be had elsewhere.
        assert scene.add(what) == 0
        assert scene.read(what)
    scene.end()
    scene.examine(())


PUBLISHING = [(Control.WRITE, errno.ENOSPC, DISK_FULL),
              (Control.WRITE, errno.EIO, IO_DEVICE),
              (Control.SYNC, errno.EIO, IO_DEVICE)]


@pytest.mark.parametrize("kind, error, code", PUBLISHING, ids=[
    f"{('read', 'write', 'sync')[k]}-{errno.errorcode[e]}"
    for k, e, _ in PUBLISHING])
def test_publishing_fails(make_scene, files, kind, error, code):
    """What was published stays; what cannot be made durable is refused."""
    scene = make_scene()
    control = shimmed(scene)
    labels = [str(path) for path in files]

    def publish(i, code):
        scene.model.add("publishing", labels[i], 3)
        assert scene.client.publish_standing(files[i]) == code
        if code == 0:
            scene.model.add("did_publish", labels[i])

    publish(0, 0)
    info = scene.client.information(labels[0].encode())
    control.fail(kind, error, "publications.mdb")
    for _ in range(3):
        publish(1, code)
        assert set(scene.client.published()) == {labels[0]}
    assert control.failed(kind) > 0
    assert scene.client.information(labels[0].encode()) == info
    control.heal()
    publish(2, 0)
    assert {labels[0], labels[2]} <= set(scene.client.published())
    publish(1, 0)
    # The power goes.
    scene.client.close()
    scene.life.close(quiet=True)
    scene.examine()


# Full and read-only file systems.

@contextlib.contextmanager
def mounted(*args):
    """A file system for as long as the test runs."""
    with temporary_folder() as path:
        done = subprocess.run(["mount", *args, str(path)], check=False,
                              capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"cannot mount: {done.stderr.strip()}")
        try:
            path.chmod(0o755)
            yield path
        finally:
            subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path):
    """Takes all the room that is left."""
    with open(path, "ab", buffering=0) as balloon:
        for size in (64 * KIB, 4 * KIB):
            with contextlib.suppress(OSError):
                while True:
                    balloon.write(bytes(size))


@needs_root
def test_disk_is_full(make_scene):
    with mounted("-t", "tmpfs", "-o", "size=24m", "tmpfs") as path:
        scene = make_scene(path, DataCache__MaxSize=16 * MIB)
        # The store makes room as long as it can, so this may be dropped.
        scene.model.room = 0
        # The log is not to fill up, too.
        (path / "log").symlink_to("/dev/null")
        scene.start()
        for _ in range(8):
            assert scene.add(scene.fresh(8 * 65536)) == 0
        scene.sync()
        scene.add_until(DISK_FULL, (0,), lambda: fill(path / "balloon"))
        assert scene.client.store()["health"] == "full"
        for what in scene.made:
            scene.read(what)
        os.unlink(path / "balloon")
        scene.add_until(0, (DISK_FULL,))
        assert scene.client.store()["health"] == "healthy"
        scene.sync()
        scene.end()
        scene.examine()


@contextlib.contextmanager
def loop_ext4(folder):
    """A loop device with a file system: the device's name."""
    image = folder / "image"
    with open(image, "wb") as file:
        os.truncate(file.fileno(), 64 * MIB)
    for command in (["mkfs.ext4", "-q", "-F", str(image)],
                    ["losetup", "--find", "--show", str(image)]):
        try:
            done = subprocess.run(command, check=False, capture_output=True,
                                  text=True)
        except FileNotFoundError:
            pytest.skip(f"no {command[0]}")
        if done.returncode != 0:
            pytest.skip(f"no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@needs_root
def test_disk_becomes_read_only(make_scene):
    with temporary_folder() as folder, loop_ext4(folder) as device:
        name = os.path.basename(device)
        trigger = pathlib.Path(f"/sys/fs/ext4/{name}/trigger_fs_error")
        with mounted("-o", "errors=remount-ro", device) as path:
            if not trigger.exists():
                pytest.skip("the kernel has no trigger_fs_error")
            scene = make_scene(folder)
            (path / "stores").mkdir()
            scene.place.root = path / "stores"
            scene.place.write(
                DataCache__Directory=path / "stores/cache",
                HashCache__Directory=path / "stores/hash",
                DataCache__MaxSize=16 * MIB)
            scene.start()
            kept = scene.fresh(9 * 65536)
            assert scene.add(kept) == 0
            scene.sync()
            mark = scene.mark()
            trigger.write_text("1")
            scene.add_until(IO_DEVICE, (0,))
            assert scene.read(kept)
            for _ in range(20):
                assert scene.add(scene.fresh(1)) in (0, IO_DEVICE)
            assert scene.read(kept)
            assert len(scene.said(mark)) == 1, scene.said(mark)
            scene.client.close()
            assert scene.life.stop() == 0
            scene.life.close(quiet=True)
        subprocess.run(["e2fsck", "-fy", device], check=False,
                       capture_output=True)
        with mounted(device) as path:
            scene.place.root = path / "stores"
            scene.place.write(
                DataCache__Directory=path / "stores/cache",
                HashCache__Directory=path / "stores/hash")
            scene.examine()


# Damaged files.

@pytest.mark.parametrize("length", [0, 4096, 12288])
def test_index_page_cannot_be_read(make_scene, length):
    scene = make_scene()
    scene.start()
    made = [scene.fresh() for _ in range(8)]
    assert [scene.add(what) for what in made] == [0] * 8
    scene.sync()
    os.truncate(scene.place.cache / "index.mdb", length)
    with pytest.raises((EOFError, OSError)):
        for _ in range(50):
            for what in made:
                scene.read(what)
            scene.add(scene.fresh())
            scene.sync()
    text = scene.lost(1)
    assert "index" in text.splitlines()[-1], text
    # It is made again from the volumes.
    scene.examine()


def test_second_process(make_scene):
    scene = make_scene()
    scene.start()
    kept = scene.fresh()
    assert scene.add(kept) == 0
    with temporary_folder() as path:
        other = world.Place(path, DataCache__Directory=scene.place.cache)
        life = world.Life(other)
        with pytest.raises(world.Ended):
            life.start()
        assert life.process.returncode == 1
        assert str(scene.place.cache) in life.log()
        life.close(quiet=True)
    assert scene.read(kept)
    scene.end()
    scene.examine()


NO_INTERCEPTORS = "replace_intrin=0:replace_str=0"


class Flips:
    """A store that was closed in order, to be damaged again and again."""

    def __init__(self, path, files):
        self.place = world.Place(path)
        rng = random.Random(3)
        self.made = world.contents(rng)
        self.model = world.Model()
        life = world.Life(self.place).start()
        self.work = world.Workload(rng, self.model, self.made,
                                   self.place.socket, files)
        self.work.run(60)
        for path in self.work.files:
            assert self.work.client(None).publish_standing(path) == 0
        self.work.forget()
        assert life.stop() == 0
        self.model.add("ended_well")
        life.close(quiet=True)
        self.crashes = 0
        self.pristine = self.place.path / "pristine"
        shutil.copytree(self.place.root, self.pristine)

    def restore(self):
        shutil.rmtree(self.place.root)
        shutil.copytree(self.pristine, self.place.root)

    def paths(self, kind):
        if kind == "publications":
            return [self.place.hash / "publications.mdb"]
        pattern = "*.vol" if kind == "volumes" else "index.mdb"
        return sorted(self.place.cache.glob(pattern))

    def flip(self, kind, rng, n):
        for _ in range(n):
            path = rng.choice(self.paths(kind))
            with open(path, "r+b") as file:
                at = self.spot(file, rng)
                file.seek(at)
                octet = file.read(1)[0]
                file.seek(at)
                file.write(bytes([octet ^ 1 << rng.randrange(8)]))

    @staticmethod
    def spot(file, rng):
        """Half of them where something stands."""
        size = os.fstat(file.fileno()).st_size
        at = rng.randrange(size)
        if rng.random() < 0.5:
            for _ in range(50):
                file.seek(at)
                if file.read(16).strip(b"\0"):
                    break
                at = rng.randrange(size)
        return at

    def given_up(self, life):
        """In order, for the next start to make good; LMDB may have written over
        anything before, so now and then in disorder."""
        status = life.wait()
        self.crashes += status in (-signal.SIGSEGV, -signal.SIGABRT)
        assert status in (1, -signal.SIGSEGV, -signal.SIGABRT), life.log()

    def look(self):
        """Reads everything: how many units are lost, or None when the next
        start has to make something good."""
        life = world.Life(self.place)
        client = None
        try:
            # A sanitizer's own memcpy() would end the daemon before the
            # signal comes that the index is guarded by.
            life.prefix = ["env", f"ASAN_OPTIONS={NO_INTERCEPTORS}"]
            life.start()
            client = world.Client(self.place.socket)
            store = world.settled(client, ("healthy", "failing"))
            lost = 0
            for what, found in world.read_all(client, self.made).items():
                for i, octets in enumerate(found):
                    assert octets in (None, what.unit(i)), (what.name, i)
                    lost += octets is None
            for path in self.work.files:
                info = client.information(os.fsencode(str(path)))
                assert isinstance(info, (int, bytes))
            client.published()
            well = isinstance(client.verify(repair=True), dict)
            if life.stop() != 0:
                return self.given_up(life)
            return lost if well and store["rebuild_left"] == 0 else None
        except (world.Ended, EOFError, OSError):
            return self.given_up(life)
        finally:
            if client is not None:
                client.close()
            life.close(quiet=True)


@pytest.fixture(scope="module")
def flips(files):
    with temporary_folder() as path:
        yield Flips(path, files)


@pytest.mark.parametrize("kind", ["volumes", "index", "publications"])
def test_flipped_bits(flips, kind):
    rounds = 400 if SOAK else 15
    rng = random.Random(time.time_ns() if SOAK else 5)
    flips.restore()
    flips.crashes = 0
    before = flips.look()
    for _ in range(rounds):
        flips.restore()
        seed = rng.randrange(1 << 30)
        n = rng.choice((1, 1, 1, 4, 32))
        flips.flip(kind, random.Random(seed), n)
        gave_up = False
        try:
            for _ in range(2):
                lost = flips.look()
                if lost is None and not gave_up:
                    # What LMDB wrote by a damaged list may show late; but
                    # then it is begun anew, and good for all time.
                    gave_up = True
                    lost = flips.look()
                assert lost is not None, "it does not recover"
                if kind == "publications":
                    assert lost == before
        except AssertionError as fault:
            raise AssertionError(f"seed {seed}, {n} bits: {fault}") from fault
    assert flips.crashes <= rounds // 100 + 1
