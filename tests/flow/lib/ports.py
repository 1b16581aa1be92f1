"""Ports for what is started later, or again: nobody else is given them meanwhile."""

from __future__ import annotations

import itertools
import os
import random
import socket

# Below those that the kernel gives to whoever binds port 0, and below those of test_make_run.py: of these, only
# this function gives any, and each process of a parallel run has its own.
FIRST, SHARE, WORKERS = 10_000, 500, 20


def worker() -> int:
    digits = "".join(c for c in os.environ.get("PYTEST_XDIST_WORKER", "") if c.isdigit())
    return int(digits or 0) % WORKERS


serial = itertools.count(random.randrange(SHARE))


def free_port() -> int:
    for _ in range(SHARE):
        port = FIRST + worker() * SHARE + next(serial) % SHARE
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a test before has closed lingers
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
