#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A peer that serves blocks, well or badly, for tests and demonstrations.

    fake_peer.py --port-file F --mode MODE
                 [--content FILE --ci FILE]... [--dir D] [--log FILE]

Listens on 127.0.0.1 (a free port, written to F when it can be asked), answers
MSG_GETBLKS over HTTP, and ends with status 0 on SIGTERM.  It shares no code
with the project, so that both can be judged by the other.

What it has: each --ci is content information (version 1 or 2) of the --content
at the same place; with --dir also every D/NAME that has a D/NAME.ci beside it.
Blocks are encrypted with AES-128-CBC when asked for, a fresh IV each time.

MODE     good     the block; an empty answer when it has none
         empty    "I do not have it", always
         silent   takes the request and never answers
         slow     the block, --piece bytes every --delay milliseconds
         wrong    see --wrong
         cut      half of the answer, then closes
         http500  status 500
--wrong  data     the right form around other bytes (default)
         id       another segment
         index    another block
         size     MsgSize is one too large
         big      more ciphertext than the block can have
         plain    not encrypted
         garbage  200, but no message

One line is written for each request, to --log or to D/requests.log:
    NUMBER MODE SEGMENT-ID BLOCK BYTES    (0 bytes: an empty answer, or none)
"""

import argparse
import ctypes
import hmac
import http.server
import os
import signal
import struct
import sys
import threading
import time

PATH = "/116b50eb-ece2-41ac-8429-9f9e963361b7/"
REQUEST_MAX = 98304
BLOCK_SIZE = 65536
ID_TAG = "MS_P2P_CACHING\0".encode("utf-16-le")
MSG_GETBLKS, MSG_BLK = 3, 5
AES_128 = 1

V1_HASHES = {0x800C: ("sha256", 32), 0x800D: ("sha384", 48),
             0x800E: ("sha512", 64)}
V2_HASHES = {4: ("sha512", 32)}


# Content information

class Segment:
    """One segment of a content file, as far as serving it needs."""

    def __init__(self, path, start, length, block_size, kp):
        self.path, self.start, self.length = path, start, length
        self.block_size, self.kp = block_size, kp

    def block(self, index):
        """The plaintext of a block, or None."""
        offset = index * self.block_size
        if offset >= self.length:
            return None
        size = min(self.block_size, self.length - offset)
        with open(self.path, "rb") as f:
            data = os.pread(f.fileno(), size, self.start + offset)
        return data if len(data) == size else None


def segment_id(hash_name, size, kp, hod):
    return hmac.new(kp, hod + ID_TAG, hash_name).digest()[:size]


def read_v1(path, ci):
    algo, _, _, count = struct.unpack_from("<IIII", ci, 2)
    name, size = V1_HASHES[algo]
    for i in range(count):
        at = 18 + i * (16 + 2 * size)
        start, length, block_size = struct.unpack_from("<QII", ci, at)
        if block_size != BLOCK_SIZE or len(ci) < at + 16 + 2 * size:
            raise ValueError("segment %d" % i)
        hod = ci[at + 16:at + 16 + size]
        kp = ci[at + 16 + size:at + 16 + 2 * size]
        yield (segment_id(name, size, kp, hod),
               Segment(path, start, length, BLOCK_SIZE, kp))


def read_v2(path, ci):
    algo, start = struct.unpack_from(">BQ", ci, 2)
    name, size = V2_HASHES[algo]
    at = 31
    while at < len(ci):
        kind, length = struct.unpack_from(">BI", ci, at)
        end = at + 5 + length
        at += 5
        if kind != 0 or length % 68 != 0 or end > len(ci):
            raise ValueError("chunk at %d" % (at - 5))
        for at in range(at, end, 68):
            length, = struct.unpack_from(">I", ci, at)
            hod, kp = ci[at + 4:at + 36], ci[at + 36:at + 68]
            yield (segment_id(name, size, kp, hod),
                   Segment(path, start, length, length, kp))
            start += length
        at = end


def read_content_info(path, ci_path):
    with open(ci_path, "rb") as f:
        ci = f.read()
    if ci[:2] == b"\0\1":
        return dict(read_v1(path, ci))
    if ci[:2] == b"\0\2":
        return dict(read_v2(path, ci))
    raise ValueError("not version 1.0 or 2.0")


# AES, which Python does not have

class Aes:
    def __init__(self):
        lib = ctypes.CDLL("libcrypto.so.3")
        p, i = ctypes.c_void_p, ctypes.c_int
        lib.EVP_CIPHER_CTX_new.restype = p
        lib.EVP_CIPHER_CTX_free.argtypes = [p]
        lib.EVP_aes_128_cbc.restype = p
        lib.EVP_EncryptInit_ex.argtypes = [p, p, p, ctypes.c_char_p,
                                           ctypes.c_char_p]
        lib.EVP_EncryptUpdate.argtypes = [p, p, ctypes.POINTER(i),
                                          ctypes.c_char_p, i]
        lib.EVP_EncryptFinal_ex.argtypes = [p, p, ctypes.POINTER(i)]
        self.lib = lib

    def cbc_128(self, key, iv, data):
        """AES-128-CBC with PKCS#7."""
        lib = self.lib
        out = ctypes.create_string_buffer(len(data) + 16)
        n, last = ctypes.c_int(), ctypes.c_int()
        ctx = lib.EVP_CIPHER_CTX_new()
        try:
            ok = lib.EVP_EncryptInit_ex(ctx, lib.EVP_aes_128_cbc(), None,
                                        key[:16], iv)
            ok &= lib.EVP_EncryptUpdate(ctx, out, ctypes.byref(n), data,
                                        len(data))
            ok &= lib.EVP_EncryptFinal_ex(ctx, ctypes.byref(out, n.value),
                                          ctypes.byref(last))
        finally:
            lib.EVP_CIPHER_CTX_free(ctx)
        if ok != 1:
            raise RuntimeError("AES failed")
        return out.raw[:n.value + last.value]


# Messages

def words(*values):
    return struct.pack(">%dI" % len(values), *values)


def field(data, last=False):
    return words(len(data)) + data + (b"" if last else b"\0" * (-len(data) % 4))


def parse_getblks(message):
    """(segment id, block), or None when it is not a MSG_GETBLKS."""
    try:
        _, kind, size, _, id_len = struct.unpack_from(">5I", message)
        if kind != MSG_GETBLKS or size != len(message) or id_len > 64:
            return None
        count, index, _ = struct.unpack_from(">3I", message, 20 + id_len)
    except struct.error:
        return None
    return (message[20:20 + id_len], index) if count > 0 else None


def build_blk(ident, index, data=b"", iv=b"", algo=0, size_error=0):
    body = (field(ident) + words(index, 0) + field(data) + words(0) +
            field(iv, last=True))
    size = 16 + len(body)
    return words(size, 1, MSG_BLK, size + size_error, algo) + body


class Peer:
    def __init__(self, args):
        self.args = args
        self.aes = Aes()
        self.segments = {}
        self.requests = 0
        self.lock = threading.Lock()
        self.log = open(args.log, "w", buffering=1) if args.log else None

    def count(self, ident, index, size):
        with self.lock:
            self.requests += 1
            if self.log:
                print(self.requests, self.args.mode, ident.hex(), index, size,
                      file=self.log)

    def sealed(self, segment, index):
        """Ciphertext and IV of a block, or nothing."""
        plain = segment.block(index) if segment else None
        if plain is None:
            return b"", b""
        wrong = self.args.wrong if self.args.mode == "wrong" else None
        if wrong == "plain":
            return plain, b""
        if wrong == "data":
            plain = bytes(b ^ 0x55 for b in plain)
        if wrong == "big":
            plain += bytes(4096)
        iv = os.urandom(16)
        return self.aes.cbc_128(segment.kp, iv, plain), iv

    def answer(self, ident, index):
        """The message for a request, as this mode has it."""
        wrong = self.args.wrong if self.args.mode == "wrong" else None
        data, iv = self.sealed(self.segments.get(ident), index)
        if self.args.mode == "empty" or not data:
            return build_blk(ident, index), 0
        if wrong == "garbage":
            return b"<html>Please log in</html>", len(data)
        if wrong == "id":
            ident = bytes([ident[0] ^ 1]) + ident[1:]
        message = build_blk(ident, index + (wrong == "index"), data, iv,
                            AES_128 if iv else 0, int(wrong == "size"))
        return message, len(data)


# HTTP

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        # the head and the body of an answer are two writes
        self.connection.setsockopt(6, 1, 1)

    def log_message(self, *_):
        pass

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def read_request(self):
        """(segment id, block), or None when it was refused."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > REQUEST_MAX:
            self.close_connection = True
            self.refuse(413 if length.isdigit() else 411)
            return None
        asked = parse_getblks(self.rfile.read(int(length)))
        if self.path.lower() != PATH:
            self.refuse(404)
            return None
        if asked is None:
            self.refuse(400)
        return asked

    def do_POST(self):
        peer, args = self.server.peer, self.server.peer.args
        asked = self.read_request()
        if asked is None:
            return
        if args.mode in ("silent", "http500"):
            peer.count(*asked, 0)
            if args.mode == "http500":
                self.refuse(500)
            else:
                self.wait_for_close()
            return
        message, size = peer.answer(*asked)
        peer.count(*asked, size)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(message)))
        self.end_headers()
        if args.mode == "cut":
            self.close_connection = True
            message = message[:len(message) // 2]
        self.write_body(message)

    def write_body(self, message):
        args = self.server.peer.args
        if args.mode != "slow":
            self.wfile.write(message)
            return
        for at in range(0, len(message), args.piece):
            self.wfile.write(message[at:at + args.piece])
            time.sleep(args.delay / 1000)

    def wait_for_close(self):
        self.close_connection = True
        while self.connection.recv(4096):
            pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that gave up is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--mode", default="good", choices=[
        "good", "silent", "slow", "wrong", "empty", "cut", "http500"])
    parser.add_argument("--wrong", default="data", choices=[
        "data", "id", "index", "size", "big", "plain", "garbage"])
    parser.add_argument("--content", action="append", default=[])
    parser.add_argument("--ci", action="append", default=[])
    parser.add_argument("--dir")
    parser.add_argument("--log")
    parser.add_argument("--piece", type=int, default=1)
    parser.add_argument("--delay", type=int, default=20)
    args = parser.parse_args()
    if len(args.content) != len(args.ci):
        parser.error("as many --content as --ci")
    if args.dir:
        args.log = args.log or os.path.join(args.dir, "requests.log")
        for name in sorted(os.listdir(args.dir)):
            path = os.path.join(args.dir, name)
            if os.path.exists(path + ".ci"):
                args.content.append(path)
                args.ci.append(path + ".ci")
    return args


def write_port(path, port):
    with open(path + ".new", "w") as f:
        print(port, file=f)
    os.rename(path + ".new", path)


def main():
    args = parse_arguments()
    peer = Peer(args)
    for content, ci in zip(args.content, args.ci):
        try:
            peer.segments.update(read_content_info(content, ci))
        except (ValueError, KeyError, struct.error) as e:
            sys.exit("%s: not content information: %s" % (ci, e))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = Server(("127.0.0.1", 0), Handler)
    server.peer = peer
    threading.Thread(target=server.serve_forever, daemon=True).start()
    write_port(args.port_file, server.server_address[1])
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
