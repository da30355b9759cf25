# SPDX-License-Identifier: BSD-2-Clause
"""Files given out by their content information, MS-PCCRTP: each row of the
server's decision, of the gaps that are decided, and the content server cases
C1, C2 and C5 to C12 of Microsoft's test suite.  What is described is recomputed
from the file and the server's secret."""

import os
import threading

import pytest

import http_client
from conftest import OTHER_UID, as_uid, needs_root
from described import BLOCK, SEGMENT
from http_client import multipart
from website import (ACCEPT, ASK, ASK_1, ASK_2, EX, KEY, SETTLED_S, VARY,
                     VERSION_1, VERSION_2, encoded, makes_hash, noise, plain,
                     site_of, wait_until)

MIN_SIZE = 65536
RANGE_MIN = 2048
EX_12 = EX.format("1.0", "2.0")
HASH_REQUEST = EX_12 + ", HashRequest=true"


def accept(value):
    return "Accept-Encoding: " + value


def says(value):
    return "X-P2P-PeerDist: " + value


def ex(least, most):
    return EX.format(least, most)


# A request, and the answer when hashes are there: version of the content
# information and of PeerDist, or None: the file.
V1, V1_11, V2, V2_10 = (1, "1.0"), (1, "1.1"), (2, "1.1"), (2, "1.0")
FILE = None

ROWS = [
    # Step 2: peerdist is accepted.
    ("nothing", FILE, ()),
    ("no accept", FILE, (VERSION_2, EX_12)),
    ("other codings", FILE, (accept("gzip, deflate, br"), VERSION_2, EX_12)),
    ("accepts any", FILE, (accept("*"), VERSION_2, EX_12)),
    ("accepts empty", FILE, (accept(""), VERSION_2, EX_12)),
    ("peerdist q=0", FILE, (accept("peerdist;q=0"), VERSION_2, EX_12)),
    ("peerdist q=0.0", FILE, (accept("gzip, peerdist; q=0.000"), VERSION_2,
                              EX_12)),
    ("longer name", FILE, (accept("peerdistx"), VERSION_2, EX_12)),
    ("prefixed name", FILE, (accept("x-peerdist"), VERSION_2, EX_12)),
    ("not a member", FILE, (accept("gzip peerdist"), VERSION_2, EX_12)),
    ("peerdist q=1", V2, (accept("peerdist;q=1.0"), VERSION_2, EX_12)),
    ("peerdist q=0.001", V2, (accept("peerdist;q=0.001"), VERSION_2, EX_12)),
    ("as IE", V2, (accept("gzip, deflate, peerdist"), VERSION_2, EX_12)),
    ("as BITS", V2, (accept("identity, peerdist"), VERSION_2, EX_12)),
    ("deflate", V2, (accept("deflate, peerdist"), VERSION_2, EX_12)),
    ("first of several", V2, (accept("peerdist, gzip"), VERSION_2, EX_12)),
    ("any case", V2, (accept("PeerDist"), VERSION_2, EX_12)),
    ("no blanks", V2, (accept("gzip,peerdist,br"), VERSION_2, EX_12)),
    ("two fields", V2, (accept("gzip"), accept("peerdist"), VERSION_2, EX_12)),
    ("empty members", V2, (accept(", ,peerdist,"), VERSION_2, EX_12)),
    ("names in lower case", V2, ("accept-encoding: peerdist",
                                 "x-p2p-peerdist: Version=1.1",
                                 "x-p2p-peerdistex: MinContentInformation=1.0,"
                                 " MaxContentInformation=2.0")),
    # Step 3: there is a version.
    ("no version field", FILE, (ACCEPT,)),
    ("only ex", FILE, (ACCEPT, EX_12)),
    ("empty field", FILE, (ACCEPT, says(""), EX_12)),
    ("no version in it", FILE, (ACCEPT, says("ContentLength=5"), EX_12)),
    ("version of one number", FILE, (ACCEPT, says("Version=1"), EX_12)),
    ("version ends in a dot", FILE, (ACCEPT, says("Version=1."), EX_12)),
    ("version of three", FILE, (ACCEPT, says("Version=1.1.0"), EX_12)),
    ("version of letters", FILE, (ACCEPT, says("Version=one"), EX_12)),
    ("version with a sign", FILE, (ACCEPT, says("Version=+1.1"), EX_12)),
    ("version is empty", FILE, (ACCEPT, says("Version="), EX_12)),
    ("version with blanks", FILE, (ACCEPT, says("Version=1 .1"), EX_12)),
    ("any case of it", V2, (ACCEPT, says("VERSION=1.1"), EX_12)),
    ("unknown parameters", V2, (ACCEPT, says("Version=1.1, Other=x, Word"),
                                EX_12 + ", Other=1")),
    ("unknown ones before", V2, (ACCEPT, says("Other=x, Version=1.1"),
                                 "X-P2P-PeerDistEx: Other=1, "
                                 "MinContentInformation=1.0, "
                                 "MaxContentInformation=2.0")),
    ("empty elements", V1, (ACCEPT, says(", ,Version=1.0,, "))),
    # Step 4: it is 1.0 or 1.1.
    ("version 999.999", FILE, (ACCEPT, says("Version=999.999"), EX_12)),
    ("version 1.2", FILE, (ACCEPT, says("Version=1.2"), EX_12)),
    ("version 2.0", FILE, (ACCEPT, says("Version=2.0"), EX_12)),
    ("version 0.9", FILE, (ACCEPT, says("Version=0.9"))),
    ("version 1.10", FILE, (ACCEPT, says("Version=1.10"), EX_12)),
    ("version 1.23", FILE, (ACCEPT, says("Version=1.23"), EX_12)),
    ("version 11.1", FILE, (ACCEPT, says("Version=11.1"), EX_12)),
    ("a huge version", FILE, (ACCEPT, says("Version=4294967297.1"), EX_12)),
    ("version 1.0", V1, ASK_1),
    ("version 1.1", V2, ASK_2),
    ("the same twice", V2, (ACCEPT, VERSION_2, VERSION_2, EX_12)),
    ("contradictions", FILE, (ACCEPT, VERSION_2, VERSION_1, EX_12)),
    ("contradictions in one", FILE, (ACCEPT, says("Version=1.0, Version=1.1"))),
    # Step 5: what is missing.
    ("missing true, 1.0", FILE, (ACCEPT, says(
        "Version=1.0, MissingDataRequest=true"))),
    ("missing true, 1.1", FILE, (ACCEPT, says(
        "Version=1.1, MissingDataRequest=true"), EX_12)),
    ("missing TRUE", FILE, (ACCEPT, says(
        "Version=1.1, MissingDataRequest=TRUE"), EX_12)),
    ("missing true, no accept", FILE, (says(
        "Version=1.1, MissingDataRequest=true"),)),
    ("missing false, 1.0", V1, (ACCEPT, says(
        "Version=1.0, MissingDataRequest=false"))),
    ("missing false, 1.1", V2, (ACCEPT, says(
        "Version=1.1,MissingDataRequest=false"), EX_12)),
    ("missing False", V2, (ACCEPT, says(
        "Version=1.1, missingdatarequest=False"), EX_12)),
    ("missing is odd", FILE, (ACCEPT, says(
        "Version=1.0, MissingDataRequest=InvalidValue"))),
    ("missing is odd, 1.1", FILE, (ACCEPT, says(
        "Version=1.1, MissingDataRequest=InvalidValue"), EX_12)),
    ("missing is empty", FILE, (ACCEPT, says(
        "Version=1.1, MissingDataRequest="), EX_12)),
    ("missing is 1", FILE, (ACCEPT, says(
        "Version=1.1, MissingDataRequest=1"), EX_12)),
    ("missing before", FILE, (ACCEPT, says(
        "MissingDataRequest=true, Version=1.1"), EX_12)),
    # Step 6: versions of content information.
    ("ex 1.0 to 1.0", V1_11, (ACCEPT, VERSION_2, ex("1.0", "1.0"))),
    ("ex 2.0 to 2.0", V2, (ACCEPT, VERSION_2, ex("2.0", "2.0"))),
    ("ex absent", V1_11, (ACCEPT, VERSION_2)),
    ("1.0 with ex", V2_10, (ACCEPT, VERSION_1, EX_12)),
    ("1.0 with ex 1.0", V1, (ACCEPT, VERSION_1, ex("1.0", "1.0"))),
    ("ex 900 to 999", FILE, (ACCEPT, VERSION_2, ex("900.0", "999.0"))),
    ("1.0 with ex 900", FILE, (ACCEPT, VERSION_1, ex("900.0", "999.0"))),
    ("ex 2.0 to 1.0", FILE, (ACCEPT, VERSION_2, ex("2.0", "1.0"))),
    ("ex 1.0 to 3.0", FILE, (ACCEPT, VERSION_2, ex("1.0", "3.0"))),
    ("ex 0.9 to 2.0", FILE, (ACCEPT, VERSION_2, ex("0.9", "2.0"))),
    ("ex 1.5 to 1.5", FILE, (ACCEPT, VERSION_2, ex("1.5", "1.5"))),
    ("ex of letters", FILE, (ACCEPT, VERSION_2, ex("one", "two"))),
    ("ex is empty", FILE, (ACCEPT, VERSION_2, ex("", ""))),
    ("ex in any case", V2, (ACCEPT, VERSION_2, EX_12.swapcase())),
    ("ex the other way round", V2, (
        ACCEPT, VERSION_2, "X-P2P-PeerDistEx: MaxContentInformation=2.0,"
        "MinContentInformation=1.0")),
    ("ex in two fields", V2, (
        ACCEPT, VERSION_2, "X-P2P-PeerDistEx: MaxContentInformation=2.0",
        "X-P2P-PeerDistEx: MinContentInformation=1.0")),
    ("the first counts", V1_11, (ACCEPT, VERSION_2, ex("1.0", "1.0"), EX_12)),
    # Hash requests.
    ("hash request", V2, (ACCEPT, VERSION_2, HASH_REQUEST)),
    ("hash request as printed", V2, (VERSION_2, HASH_REQUEST)),
    ("hash request, any case", V2, (VERSION_2, EX_12 + ", hashrequest=TRUE")),
    ("hash request false", FILE, (VERSION_2, EX_12 + ", HashRequest=false")),
    ("no hash request", V2, (ACCEPT, VERSION_2, EX_12 + ", HashRequest=false")),
    ("hash request for v1", V1_11, (VERSION_2, ex("1.0", "1.0") +
                                    ", HashRequest=true")),
    ("hash request, 999.999", FILE, (says("Version=999.999"), HASH_REQUEST)),
    ("hash request and missing", FILE, (
        says("Version=1.1, MissingDataRequest=true"), HASH_REQUEST)),
    ("hash request without version", FILE, (HASH_REQUEST,)),
]
NAMES = [row[0] for row in ROWS]
assert len(set(NAMES)) == len(NAMES)

# Cases of the suite: what is sent, and when hashes are there, what comes.
SUITE = {
    "C1": (ASK_1, V1), "C2": (ASK_2, V2),
    "C5": ((ACCEPT, says("Version=1.0,MissingDataRequest=true")), FILE),
    "C6": ((ACCEPT, says("Version=1.1,MissingDataRequest=true"), EX_12), FILE),
    "C7": (ASK_1, V1),
    "C8 v1": ((VERSION_1,), FILE), "C8 v2": ((VERSION_2, EX_12), FILE),
    "C9 v1": ((ACCEPT, says("Version=999.999")), FILE),
    "C9 v2": ((ACCEPT, says("Version=999.999"), EX_12), FILE),
    "C10 v1": ((ACCEPT, says("Version=1.0,MissingDataRequest=false")), V1),
    "C10 v2": ((ACCEPT, says("Version=1.0,MissingDataRequest=false"), EX_12),
               V2_10),
    "C11 v1": ((ACCEPT, says("Version=1.0,MissingDataRequest=InvalidValue")),
               FILE),
    "C11 v2": ((ACCEPT, says("Version=1.0,MissingDataRequest=InvalidValue"),
                EX_12), FILE),
    "C12 v1": ((ACCEPT, VERSION_1, ex("900.0", "999.0")), FILE),
    "C12 v2": ((ACCEPT, VERSION_2, ex("900.0", "999.0")), FILE),
}


@pytest.fixture(scope="module")
def site():
    with site_of() as made:
        made.main = made.put("main", size=5 * BLOCK + 777)
        made.least = made.put("least", size=MIN_SIZE + 1)
        made.small = made.put("small", size=MIN_SIZE)
        made.blocks = made.put("blocks", size=3 * BLOCK)
        # The suite's own files are of zeros.
        made.zeros = made.put("zeros", bytes(40 << 20))
        made.large = made.put("large", size=40 << 20)
        made.exact = made.put("exact", made.large.octets[:SEGMENT])
        made.first = {name: made.put(f"first/{i}", size=MIN_SIZE + 100 + i)
                      for i, name in enumerate(NAMES)}
        made.other = {name: made.put(f"other/{i}", size=MIN_SIZE + 300 + i)
                      for i, name in enumerate((
                          "HEAD", "1.0", "1.0 old", "ranges", "range", "304",
                          "416", "412", "short range"))}
        made.suite = {name: made.put("suite/" + name, size=70000 + i)
                      for i, name in enumerate(SUITE)}
        made.suite["C7"] = made.large
        made.settle()
        made.hashed(made.main, made.least, made.blocks)
        yield made


# With hashes.

@pytest.mark.parametrize("name, wanted, fields", ROWS, ids=NAMES)
def test_hashed(site, name, wanted, fields):
    answer = site.get(site.main, *fields)
    assert not makes_hash(answer)
    if wanted is None:
        plain(answer, site.main.octets)
        assert answer.get("Vary") == VARY
    else:
        encoded(answer, site.main, *wanted)
    # Ranges are judged in the same way.
    answer = site.get(site.main, "Range: bytes=70000-199999", *fields)
    if wanted is None:
        plain(answer, site.main.octets[70000:200000], 206)
    else:
        encoded(answer, site.main, *wanted, 70000, 130000)


# Without: the first request for each file.

@pytest.fixture(scope="module")
def firsts(site):
    """Answers by name of the row, and the paths that were hashed then."""
    answers = {name: site.get(site.first[name], *fields)
               for name, _, fields in ROWS}
    wanted = {str(site.first[name].path) for name, wanted, _ in ROWS if wanted}

    def hashed():
        rows = site.folder.json("published", "ls")["publications"]
        paths = {row["path"] for row in rows}
        return paths if wanted <= paths else None
    return answers, wait_until(hashed, "hashes of all that are to be hashed")


@pytest.mark.parametrize("name, wanted, fields", ROWS, ids=NAMES)
def test_first_request(site, firsts, name, wanted, fields):
    """The file, now; hashing begins where hashes would have been sent, and a
    client of 1.1 that would have had them is told."""
    answers, hashed = firsts
    answer = answers[name]
    plain(answer, site.first[name].octets)
    assert answer.get("Vary") == VARY
    asks_hash = any("hashrequest=true" in f.lower() for f in fields)
    assert makes_hash(answer) == (wanted is not None and wanted[1] == "1.1" and
                                  not asks_hash)
    assert (str(site.first[name].path) in hashed) == (wanted is not None)
    if wanted is not None:
        encoded(site.get(site.first[name], *fields), site.first[name], *wanted,
                etag=answer.etag)


def test_what_else_is_not_hashed(site, firsts):
    """Those that would not have been answered by hashes."""
    def ask(name, *fields, **kwargs):
        return site.ask(site.other[name], *fields, **kwargs)

    whole = ask("304", method="HEAD")
    for answer, status in (
            (ask("HEAD", method="HEAD"), 200), (ask("1.0", minor=0), 200),
            (ask("1.0 old", minor=0, version=1), 200),
            (ask("304", f"If-None-Match: {whole.etag}"), 304),
            (ask("416", "Range: bytes=900000-"), 416),
            (ask("412", "If-Match: \"x\""), 412)):
        assert answer.status == status
        assert answer.get("Vary") == (None if status == 412 else VARY)
        assert not answer.is_encoded and not makes_hash(answer)
    # Something asked for after these, and hashed.
    site.hashed(site.other["range"])
    rows = site.folder.json("published", "ls")["publications"]
    paths = {row["path"] for row in rows}
    for name in ("HEAD", "1.0", "1.0 old", "304", "416", "412"):
        assert str(site.other[name].path) not in paths


# Microsoft's suite.

@pytest.mark.parametrize("case", SUITE)
def test_suite(site, case):
    """As it goes about it: fetches the file once, which must not be encoded;
    waits; then the case."""
    fields, wanted = SUITE[case]
    file = site.suite[case]
    first = site.get(file, *ASK_1)
    plain(first, file.octets)
    assert not makes_hash(first)
    # Whether something is published, as netsh tells it.
    wait_until(lambda: any(
        row["path"] == str(file.path) for row in
        site.folder.json("published", "ls")["publications"]), "hashes")
    answer = site.get(file, *fields)
    if wanted is None:
        plain(answer, file.octets)
    else:
        encoded(answer, file, *wanted, etag=first.etag)
        # As their client reads it.
        value = answer.get("X-P2P-PeerDist")
        assert value.split(",")[0].split("=")[0] == "Version"
        assert int(value.rpartition("=")[2]) == len(file.octets)


def test_one_trigger_makes_both(site):
    """Version 2 is there although version 1 alone was asked for."""
    file = site.suite["C1"]
    site.hashed(file, version=1)
    encoded(site.ask(file, version=2), file, 2, "1.1")


@pytest.mark.parametrize("version, said", [(1, "1.0"), (2, "1.1")])
def test_several_segments(site, version, said):
    for file in (site.zeros, site.large, site.exact):
        site.hashed(file)
        answer = encoded(site.ask(file, version=version), file, version, said)
        if version == 1:
            assert answer.body[14:18] == (
                b"\1\0\0\0" if file is site.exact else b"\2\0\0\0")


# Ranges.

def spans(size):
    """Range, start, length."""
    yield f"0-{size - 1}", 0, size
    yield "0-", 0, size
    yield f"-{size}", 0, size
    yield f"-{size + 1}", 0, size
    yield f"0-{size + 5}", 0, size
    for start, length in ((0, RANGE_MIN), (0, RANGE_MIN - 1), (1, RANGE_MIN),
                          (0, BLOCK), (1, BLOCK), (0, BLOCK - 1),
                          (0, BLOCK + 1), (BLOCK, BLOCK), (BLOCK - 1, 4096),
                          (BLOCK, 4096), (size - 4096, 4096), (size - 1, 1),
                          (size - RANGE_MIN, RANGE_MIN), (5000, size - 5000),
                          (0, size - 1), (1, size - 1), (1, size - 2),
                          (2 * BLOCK - 3000, 6000), (0, 1), (0, 100)):
        if start + length <= size:
            yield f"{start}-{start + length - 1}", start, length
    yield f"{BLOCK}-", BLOCK, size - BLOCK
    yield "-5000", size - 5000, 5000
    yield "-100", size - 100, 100


def far(size):
    for start, length in ((SEGMENT - 5000, 10000), (SEGMENT - 1, 70000),
                          (0, SEGMENT), (0, SEGMENT + 1), (1, SEGMENT),
                          (SEGMENT, BLOCK), (SEGMENT - 4096, 4096),
                          (SEGMENT - 100000, 100000), (SEGMENT, size - SEGMENT),
                          (SEGMENT + BLOCK, 100000), (SEGMENT - BLOCK, BLOCK),
                          (100 << 10, 39 << 20), (SEGMENT + 5, 5000)):
        yield f"{start}-{start + length - 1}", start, length


def check_range(site, link, file, version, text, start, length):
    answer = site.ask(file, f"Range: bytes={text}", version=version, link=link)
    info = (file.described.v1 if version == 1 else file.described.v2)(
        start, length)
    # What is not smaller than the data is not worth it.
    if length >= RANGE_MIN and len(info) < length:
        encoded(answer, file, version, "1.0" if version == 1 else "1.1", start,
                length)
    else:
        plain(answer, file.octets[start:start + length], 206)
        size = len(file.octets)
        assert answer.get("Content-Range") == (
            f"bytes {start}-{start + length - 1}/{size}")
        assert not makes_hash(answer)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["main", "least", "blocks"])
def test_ranges(site, version, name):
    file = getattr(site, name)
    with site.link() as link:
        # Where version 2 cuts.
        encoded(site.ask(file, link=link), file, 2, "1.1")
        for span in spans(len(file.octets)):
            check_range(site, link, file, version, *span)


@pytest.mark.parametrize("version", [1, 2])
def test_ranges_of_segments(site, version):
    file = site.hashed(site.large)
    with site.link() as link:
        encoded(site.ask(file, link=link), file, 2, "1.1")
        for span in (*spans(len(file.octets)), *far(len(file.octets))):
            check_range(site, link, file, version, *span)


@pytest.mark.parametrize("version", [1, 2])
def test_several_ranges_are_plain(site, version):
    answer = site.ask(site.main, "Range: bytes=0-99999,200000-299999",
                      version=version)
    assert answer.status == 206 and not answer.is_encoded
    assert not makes_hash(answer)
    assert [p[4] for p in multipart(answer)] == [
        site.main.octets[:100000], site.main.octets[200000:300000]]


def test_ranges_that_are_none(site):
    """Ignored, so it is the whole."""
    for text in ("bytes=x", "lines=0-5", "bytes=9-5"):
        encoded(site.ask(site.main, f"Range: {text}"), site.main, 2, "1.1")
    answer = site.ask(site.main, "Range: bytes=999999-")
    assert answer.status == 416 and not answer.is_encoded
    assert answer.get("Content-Range") == f"bytes */{len(site.main.octets)}"
    assert answer.get("Vary") == VARY


# What the hashes belong to.

def test_validators_are_those_of_the_file(site):
    whole = site.get(site.main)
    for version in (1, 2):
        for fields in ((), ("Range: bytes=0-99999",)):
            answer = site.ask(site.main, *fields, version=version)
            assert answer.is_encoded
            for name in ("ETag", "Last-Modified", "Content-Type",
                         "Accept-Ranges", "Vary"):
                assert answer.get(name) == whole.get(name)
            assert http_client.seconds(answer.get("Date"))


def test_conditions(site):
    whole = site.get(site.main)
    date = whole.get("Last-Modified")
    size = len(site.main.octets)

    def status(*fields):
        answer = site.ask(site.main, *fields)
        assert not answer.is_encoded and not makes_hash(answer)
        if answer.status != 412:
            assert answer.etag == whole.etag
            assert answer.get("Vary") == VARY
        return answer.status

    assert status(f"If-None-Match: {whole.etag}") == 304
    assert status(f"If-Modified-Since: {date}") == 304
    assert status("If-Match: \"x\"") == 412
    ranged = "Range: bytes=0-99999"
    for fields in ((f"If-Match: {whole.etag}",), ("If-None-Match: \"x\"",)):
        encoded(site.ask(site.main, *fields), site.main, 2, "1.1")
        encoded(site.ask(site.main, ranged, *fields), site.main, 2, "1.1", 0,
                100000)
    for value in (whole.etag, date):
        encoded(site.ask(site.main, ranged, f"If-Range: {value}"), site.main,
                2, "1.1", 0, 100000)
    # Another version of the file: all of it, by its hashes.
    answer = site.ask(site.main, ranged, "If-Range: \"x\"")
    encoded(answer, site.main, 2, "1.1")
    # What fetches the rest of it.
    answer = site.get(site.main, ranged, f"If-Range: {whole.etag}",
                      says("Version=1.1, MissingDataRequest=true"))
    plain(answer, site.main.octets[:100000], 206)
    answer = site.get(site.main, ranged, "If-Range: \"x\"",
                      says("Version=1.1, MissingDataRequest=true"))
    plain(answer, site.main.octets)
    assert size == answer.length


def test_bits(site):
    """As the background transfers of Windows go about it: the head first, then
    single ranges under a condition of the date, hashes for each that is worth
    it; several in one request when they are small."""
    agent = "User-Agent: Microsoft BITS/7.8"
    ask = (agent, accept("identity, peerdist"), VERSION_2, EX_12)
    size = len(site.main.octets)
    with site.link() as link:
        head = link.ask(site.main.target, *ask, method="HEAD")
        assert (head.status, head.length) == (200, size)
        same = "If-Unmodified-Since: " + head.get("Last-Modified")
        for start, length in ((0, 100000), (100000, 200000),
                              (300000, size - 300000)):
            answer = link.ask(site.main.target, *ask, same,
                              f"Range: bytes={start}-{start + length - 1}")
            encoded(answer, site.main, 2, "1.1", start, length,
                    etag=head.etag)
        answer = link.ask(site.main.target, *ask, same, "Range: bytes=0-2046")
        plain(answer, site.main.octets[:2047], 206)
        answer = link.ask(site.main.target, *ask, same,
                          "Range: bytes=0-999,5000-5999")
        assert [p[4] for p in multipart(answer)] == [
            site.main.octets[:1000], site.main.octets[5000:6000]]
        # What is another file now is begun anew.
        answer = link.ask(site.main.target, *ask, "Range: bytes=0-99999",
                          "If-Unmodified-Since: Wed, 01 Jan 2020 00:00:00 GMT")
        assert answer.status == 412 and not answer.is_encoded


def test_head(site):
    """As if there was no such thing."""
    with site.link() as link:
        known = link.ask(site.main.target, method="HEAD")
        for asked in (ASK_1, ASK_2, (VERSION_2, HASH_REQUEST)):
            answer = link.ask(site.main.target, *asked, method="HEAD")
            assert answer.status == 200
            assert answer.length == len(site.main.octets)
            assert [f for f in answer.fields if f[0] != "Date"] == [
                f for f in known.fields if f[0] != "Date"]


def test_old_http(site):
    """Is never encoded."""
    for version in (1, 2):
        for fields in ((), ("Connection: keep-alive",)):
            answer = site.ask(site.main, *fields, version=version, minor=0)
            plain(answer, site.main.octets)
            assert not makes_hash(answer)


def test_small_files(site):
    """They are what they are."""
    for _ in range(2):
        for version in (1, 2):
            answer = site.ask(site.small, version=version)
            plain(answer, site.small.octets)
            assert not makes_hash(answer) and answer.get("Vary") is None
    rows = site.folder.json("published", "ls")["publications"]
    assert str(site.small.path) not in {row["path"] for row in rows}
    encoded(site.ask(site.least), site.least, 2, "1.1")


def test_other_answers(site):
    """Nothing but the bytes of a file is ever encoded."""
    (site.root / "folder").mkdir(exist_ok=True)
    for target, status in (("/none", 404), ("/folder", 301), ("/folder/", 403),
                           ("/../x", 400)):
        answer = site.get(target, *ASK_2)
        assert answer.status == status
        assert not answer.is_encoded and not makes_hash(answer)
    answer = site.get(site.main, "Content-Length: 0", *ASK_2, method="POST")
    assert answer.status == 405 and not answer.is_encoded


def test_all_on_one_connection(site):
    """Plain, encoded, ranges, by turns and pipelined."""
    with site.link() as link:
        for _ in range(3):
            requests = [link.request(site.main.target),
                        link.request(site.main.target, *ASK_1),
                        link.request(site.main.target, *ASK_2),
                        link.request(site.main.target, "Range: bytes=5-9"),
                        link.request(site.main.target, *ASK_2,
                                     "Range: bytes=0-99999"),
                        link.request(site.main.target, *ASK_2, method="HEAD"),
                        link.request("/none", *ASK_2)]
            link.raw(b"".join(requests))
            plain(link.receive(), site.main.octets)
            encoded(link.receive(), site.main, 1, "1.0")
            encoded(link.receive(), site.main, 2, "1.1")
            plain(link.receive(), site.main.octets[5:10], 206)
            encoded(link.receive(), site.main, 2, "1.1", 0, 100000)
            assert link.receive("HEAD").length == len(site.main.octets)
            assert link.receive().status == 404


def test_byte_by_byte(site):
    with site.link() as link:
        for byte in link.request(site.main.target, *ASK_2):
            link.raw(bytes([byte]))
        encoded(link.receive(), site.main, 2, "1.1")


def test_other_names_of_a_file(site):
    """The file is known, not its path."""
    os.link(site.blocks.path, site.root / "hard")
    (site.root / "soft").symlink_to("main")
    encoded(site.get("/soft", *ASK_2), site.main, 2, "1.1")
    encoded(site.get("/./x/..//main?query", *ASK_2), site.main, 2, "1.1")
    # A link more changes the file's change time: it may have to be hashed.
    wait_until(lambda: site.get("/hard", *ASK_2).is_encoded, "hashes")
    encoded(site.get("/hard", *ASK_2), site.blocks, 2, "1.1")


def test_counters(site):
    before = site.web
    answer = site.ask(site.main)
    site.ask(site.main, "Range: bytes=0-99999")
    site.get(site.main, "Range: bytes=0-9",
             says("Version=1.1, MissingDataRequest=true"))
    after = site.web

    def more(name):
        return after[name] - before[name]

    assert more("answers") == 3
    assert more("encoded") == 2
    assert more("encoded_bytes") > answer.length
    assert more("described_bytes") == len(site.main.octets) + 100000
    assert more("missing_data") == 1
    assert more("plain_bytes") == 10
    assert more("make_hash") == 0
    assert after["make_hash"] > 0
    assert after["described_files"] > 0


def test_hashing_shows(site):
    """What is hashed for the web root is a publication as others are."""
    rows = site.folder.json("published", "ls")["publications"]
    [row] = [r for r in rows if r["path"] == str(site.main.path)]
    assert row["size"] == len(site.main.octets)
    assert (row["versions"], row["watched"]) == ("1,2", True)


# The service round it.

@pytest.fixture(scope="module")
def spare():
    """One whose settings are changed; three files that are hashed."""
    with site_of() as made:
        made.files = [made.put(f"file{i}", size=200000 + i) for i in range(3)]
        made.late = [made.put(f"late{i}", size=150000 + i) for i in range(8)]
        made.info = made.put("info", bytes(512 << 20))
        made.long = made.put("long", b"")
        os.truncate(made.long.path, 2 << 30)
        made.settle()
        made.hashed(*made.files)
        yield made


def test_after_a_restart(spare):
    """The first answer is encoded: hashes are read from the disk, once for all
    who ask at the same time."""
    spare.restart()
    asked = [spare.link() for _ in range(20)]
    for i, link in enumerate(asked):
        link.send(spare.files[0].target, *ASK[1 + i % 2])
    for i, link in enumerate(asked):
        encoded(link.receive(), spare.files[0], *(V1, V2)[i % 2])
        link.close()


def test_hashing_is_an_operation(spare):
    """Of the service's own session, for administrators to see and to cancel."""
    file = spare.long
    spare.ask(file, "Range: bytes=0-4095")

    def running():
        return spare.folder.json("operations")["operations"]
    [operation] = wait_until(running, "an operation")
    assert operation["uid"] == (spare.uid or os.geteuid())
    sessions = spare.folder.json("sessions")["sessions"]
    assert operation["session"] in {s["session"] for s in sessions}
    assert spare.folder.ctl("cancel", operation["id"]).code == 0
    wait_until(lambda: not running(), "its end")
    assert not spare.ask(file, "Range: bytes=0-4095").is_encoded


def test_secret_is_changed(spare):
    """Answers are of the new one at once."""
    path = spare.folder.path / "passphrase"
    old = spare.ask(spare.files[1])
    encoded(old, spare.files[1], 2, "1.1")
    try:
        for text in ("another secret", "server secret"):
            path.write_text(text)
            assert spare.folder.ctl("--yes", "secret", "set",
                                    "--passphrase-file", path).code == 0
            spare.key = text.encode("utf-16-le")
            for version, said in ((1, "1.0"), (2, "1.1")):
                spare.hashed(spare.files[1])
                answer = spare.ask(spare.files[1], version=version)
                encoded(answer, spare.files[1], version, said, etag=old.etag)
    finally:
        spare.key = KEY


def test_only_version_1(spare):
    """Where that is preferred it is all there is."""
    file, new = spare.files[2], spare.late[0]
    try:
        spare.folder.write(Service__PreferredContentVersion="1")
        spare.daemon.reload()
        spare.hashed(new, version=1)
        for each in (file, new):
            encoded(spare.ask(each, version=1), each, 1, "1.0")
        answer = spare.ask(new)
        encoded(answer, new, 1, "1.1")
        # Who does not understand it gets the file, and is not asked to come
        # again: nothing will be there.
        answer = spare.get(new, ACCEPT, VERSION_2, ex("2.0", "2.0"))
        plain(answer, new.octets)
    finally:
        spare.folder.write(Service__PreferredContentVersion="2")
        spare.daemon.reload()
    spare.hashed(file)
    encoded(spare.ask(file), file, 2, "1.1")


def test_disabled(spare):
    """The web root goes on as a plain one."""
    file = spare.files[0]
    try:
        spare.folder.policy("[Service]\nEnable = no\n")
        spare.daemon.reload()
        for version in (1, 2):
            answer = spare.ask(file, version=version)
            plain(answer, file.octets)
            assert not makes_hash(answer)
    finally:
        spare.folder.policy("")
        spare.daemon.reload()
    spare.hashed(file)
    encoded(spare.ask(file), file, 2, "1.1")


def test_published_before(spare):
    """By the tool: there is no plain answer first."""
    file = spare.late[1]
    assert spare.folder.ctl("publish", file.path).code == 0
    for version, said in ((2, "1.1"), (1, "1.0")):
        encoded(spare.ask(file, version=version), file, version, said)


def test_unpublished(spare):
    file = spare.late[2]
    spare.hashed(file)
    [row] = [r for r in spare.folder.json("published", "ls")["publications"]
             if r["path"] == str(file.path)]
    assert spare.folder.ctl("unpublish", str(row["id"])).code == 0
    answer = spare.ask(file)
    assert makes_hash(plain(answer, file.octets))
    spare.hashed(file)
    encoded(spare.ask(file), file, 2, "1.1")


@needs_root
def test_whose_publications_count(spare):
    """Only those of root, the service, and the file's owner: others can make
    up a file that looks like this one."""
    stranger = as_uid(OTHER_UID)
    theirs, mine = spare.late[3], spare.late[4]
    os.chown(theirs.path, OTHER_UID, OTHER_UID)
    wait_until(lambda: spare.folder.ctl("publish", theirs.path,
                                        prefix=stranger).code == 0, "published")
    assert spare.folder.ctl("publish", mine.path, prefix=stranger).code == 0
    encoded(spare.ask(theirs), theirs, 2, "1.1")
    assert makes_hash(plain(spare.ask(mine), mine.octets))


def test_much_information(spare):
    """Built beside the loop: others are answered meanwhile."""
    file = spare.info
    spare.hashed(file)
    spare.restart()
    with spare.link() as link, spare.link() as other:
        link.send(file.target, *ASK_2)
        for _ in range(5):
            assert other.ask("/none").status == 404
        encoded(link.receive(), file, 2, "1.1")
        encoded(spare.ask(file, link=link, version=1), file, 1, "1.0")
        start = (480 << 20) + 12345
        check_range(spare, link, file, 1, f"{start}-", start,
                    len(file.octets) - start)
        check_range(spare, link, file, 2, f"{start}-", start,
                    len(file.octets) - start)


def test_asked_for_by_many(spare):
    """A file that nobody has asked for before, by all at once."""
    file = spare.late[5]
    answers = []

    def client():
        with spare.link() as link:
            for _ in range(20):
                answers.append(spare.ask(file, link=link))

    threads = [threading.Thread(target=client) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 200
    for answer in answers:
        if answer.is_encoded:
            encoded(answer, file, 2, "1.1")
        else:
            assert makes_hash(plain(answer, file.octets))
    spare.hashed(file)
    rows = spare.folder.json("published", "ls")["publications"]
    assert len([r for r in rows if r["path"] == str(file.path)]) == 1


def test_no_least_size():
    """Then what is smaller than its description is the file all the same, and
    nobody is asked to come again for it, once that is known."""
    with site_of(Web__MinSize="0") as other:
        sizes = [0, 1, 50, 103, 104, 105, 133, 134, 135, 4000]
        files = [other.put(f"file{size}", size=size) for size in sizes]
        other.settle()
        with other.link() as link:
            for version, least, said in ((2, 104, "1.1"), (1, 134, "1.0")):
                for file in files:
                    wait_until(lambda: not makes_hash(other.ask(
                        file, link=link)), "hashes")
                    answer = other.ask(file, version=version, link=link)
                    if len(file.octets) > least:
                        encoded(answer, file, version, said)
                    else:
                        plain(answer, file.octets)


def test_not_before_it_is_old_enough(spare):
    """A file that may still be written is not hashed, and is in time."""
    file = spare.put("fresh", noise(100000))
    born = file.path.stat().st_ctime
    spare.hashed(file)
    published = [r for r in spare.folder.json("published", "ls")["publications"]
                 if r["path"] == str(file.path)]
    assert len(published) == 1
    assert published[0]["published"] >= int(born + SETTLED_S - 0.1)
    encoded(spare.ask(file), file, 2, "1.1")
