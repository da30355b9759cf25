# SPDX-License-Identifier: BSD-2-Clause
"""A few hosts have all the connections that there are, for as long as they
like: others are served all the same."""

import contextlib
import resource

import pytest

from conftest import DEADLINE
from http_client import Closed, Link
from website import noise, plain, site_of, wait_until

PLACES = 4096
OF_ONE = 1024
BIG = 1 << 30


@pytest.fixture(scope="module")
def site():
    wanted = PLACES + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        with site_of() as made:
            made.good = made.put("good", noise(1000))
            with open(made.root / "big", "wb") as out:
                out.truncate(BIG)
            yield made
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_taken(site, source):
    """Whether one more connection from there is served."""
    with Link(site.address, DEADLINE, source=source) as link:
        try:
            plain(link.ask("/good"), site.good.octets)
        except (Closed, ConnectionError):
            return False
        return True


def test_slow_readers(site):
    """All places are taken by four addresses, which read a little now and
    then."""
    with contextlib.ExitStack() as stack:
        greedy = []
        for i in range(PLACES):
            greedy.append(stack.enter_context(
                Link(site.address, DEADLINE, room=4096,
                     source=f"127.0.0.{10 + i // OF_ONE}")))
            greedy[-1].send("/big")
        for link in greedy:
            assert link.head().length == BIG
        assert site.web["server"]["connections"] == PLACES
        before = site.web["server"]
        # They do not get more, and nobody loses anything by their trying.
        assert not any(is_taken(site, f"127.0.0.{10 + i % 4}")
                       for i in range(8))
        assert site.web["server"]["displaced"] == before["displaced"]
        assert site.web["server"]["crowded"] == before["crowded"] + 8
        # Whoever has less does, a single one or many.
        others = []
        for i in range(100):
            others.append(stack.enter_context(
                Link(site.address, DEADLINE,
                     source="127.0.0.9" if i % 2 else f"127.0.1.{i + 1}")))
            others[-1].send("/big", "Range: bytes=0-99999999")
            assert others[-1].head().status == 206
        after = site.web["server"]
        assert after["displaced"] - before["displaced"] == 100
        assert after["crowded"] - before["crowded"] == 108
        assert after["connections"] == PLACES
        for link in others:
            assert len(link.take(100000)) == 100000
        # The others of the four go on.
        assert len(greedy[-1].take(1 << 20)) == 1 << 20
    wait_until(lambda: site.web["server"]["connections"] == 0, "they are gone")
    assert is_taken(site, "127.0.0.10")
