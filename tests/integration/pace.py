# SPDX-License-Identifier: BSD-2-Clause
"""Time as a test may judge it.  On a machine that has much else to do
everybody waits for a processor, for seconds sometimes, and that is nobody's
fault."""

import threading
import time

from conftest import DEADLINE


def waits(task):
    """How long a thread has waited for a processor, in seconds."""
    try:
        with open(f"/proc/{task}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0


class Stopwatch:
    """Seconds since it was made, without those that this thread or the first
    one of a process has waited for a processor.  Where nobody has to it is the
    clock."""

    def __init__(self, pid):
        self.tasks = ("thread-self", pid)
        self.before = [waits(task) for task in self.tasks]
        self.began = time.monotonic()

    def waited(self):
        return sum(max(waits(task) - before, 0)
                   for task, before in zip(self.tasks, self.before))

    def read(self):
        return time.monotonic() - self.began - self.waited()


class Clock:
    """Counts what clients have done; the storm's steps wait for that."""

    def __init__(self):
        self.count = 0
        self.news = threading.Condition()

    def tick(self):
        with self.news:
            self.count += 1
            self.news.notify_all()

    def wait(self, ticks):
        with self.news:
            want = self.count + ticks
            assert self.news.wait_for(lambda: self.count >= want,
                                      3 * DEADLINE), "all clients hang"
