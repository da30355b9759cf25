# SPDX-License-Identifier: BSD-2-Clause
"""A file system whose server does not always answer: FUSE, spoken by hand."""

import ctypes
import errno
import os
import struct
import threading

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = (
    1, 2, 3, 14, 15, 17, 18, 25, 26)
OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 27, 29, 36, 42
DIRECT_IO = 1
ROOT = 1
WHEN = 1577934245
NOSUID_NODEV, DETACH = 6, 2
CACHED_S = 60  # for so long the kernel does not ask again

libc = ctypes.CDLL(None, use_errno=True)


class Stalling(threading.Thread):
    """files: octets by name, in a folder; or octets, which are all there is.
    OSError: it may not be mounted here."""

    def __init__(self, where, files, flags=0):
        super().__init__(daemon=True)
        self.where = str(where).encode()
        self.folder = isinstance(files, dict)
        self.flags = flags
        self.octets = {ROOT: b"" if self.folder else files}
        self.nodes = {}
        for name, octets in files.items() if self.folder else ():
            self.nodes[name] = len(self.octets) + ROOT
            self.octets[self.nodes[name]] = octets
        self.lock = threading.Lock()
        self.stalled = ()  # what is not answered
        self.let = 0       # but so many times
        self.held = []
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        mode = "40000" if self.folder else "100000"
        options = (f"fd={self.fd},rootmode={mode},user_id=0,group_id=0,"
                   "allow_other")
        if libc.mount(b"stalling", self.where, b"fuse.stalling", NOSUID_NODEV,
                      options.encode()) != 0:
            os.close(self.fd)
            raise OSError(ctypes.get_errno(), "mount")
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()
        libc.umount2(self.where, DETACH)
        self.join()  # its end is told when the last file is closed
        os.close(self.fd)

    def stall(self, *what, let=0):
        with self.lock:
            self.stalled, self.let = what, let

    def release(self):
        with self.lock:
            self.stalled = ()
            held, self.held = self.held, []
        for message in held:
            self.answer(message)

    def run(self):
        while True:
            try:
                message = os.read(self.fd, 1 << 21)
            except OSError as e:
                if e.errno == errno.ENODEV:
                    return
                continue
            with self.lock:
                hold = struct.unpack_from("=I", message, 4)[0] in self.stalled
                if hold and self.let > 0:
                    self.let -= 1
                    hold = False
                if hold:
                    self.held.append(message)
            if not hold:
                self.answer(message)

    # Answers.

    def attributes(self, node):
        mode = 0o40755 if node == ROOT and self.folder else 0o100644
        size = len(self.octets[node])
        return struct.pack("=6Q10I", node + 1, size, 0, WHEN, WHEN, WHEN,
                           0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def say(self, unique, octets=b"", error=0):
        head = struct.pack("=IiQ", 16 + len(octets), -error, unique)
        try:
            os.write(self.fd, head + octets)
        except FileNotFoundError:
            pass  # who asked has been interrupted

    def answer(self, message):
        length, what, unique, node = struct.unpack_from("=IIQQ", message)
        body = message[40:length]
        if what == INIT:
            self.say(unique, struct.pack("=4I2H2I2H8I", 7, 31, 1 << 20, 0, 12,
                                         9, 1 << 17, 1, 0, 0, *[0] * 8))
        elif what == LOOKUP:
            found = self.nodes.get(body[:-1].decode())
            if found is None:
                self.say(unique, error=errno.ENOENT)
            else:
                self.say(unique, struct.pack(
                    "=4Q2I", found, 0, CACHED_S, CACHED_S, 0, 0)
                    + self.attributes(found))
        elif what == GETATTR:
            self.say(unique, struct.pack("=Q2I", CACHED_S, 0, 0)
                     + self.attributes(node))
        elif what in (OPEN, OPENDIR):
            self.say(unique, struct.pack("=Q2I", 0, self.flags, 0))
        elif what == READ:
            _, at, size = struct.unpack_from("=2QI", body)
            self.say(unique, self.octets[node][at:at + size])
        elif what == STATFS:
            self.say(unique, struct.pack("=5Q10I", 1, 1, 1, 1, 1, 4096, 255,
                                         4096, *[0] * 7))
        elif what in (RELEASE, RELEASEDIR, FLUSH):
            self.say(unique)
        elif what not in (FORGET, BATCH_FORGET, INTERRUPT):
            self.say(unique, error=errno.ENOSYS)
