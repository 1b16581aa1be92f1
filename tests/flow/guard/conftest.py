"""`guard(mode, …)` starts the real binary around a scripted engine."""

from __future__ import annotations

import pathlib

import pytest
from guarded import Guard, NotifySocket


@pytest.fixture
def guard(tmp_path: pathlib.Path):
    made: list[Guard] = []

    def make(mode: str = "", **more) -> Guard:
        folder = tmp_path / f"guard{len(made)}"
        folder.mkdir()
        made.append(Guard(folder, mode, **more))
        return made[-1]

    yield make
    for one in made:
        one.judge()


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path: pathlib.Path):
    """A service manager's socket, of both kinds."""
    socket = NotifySocket(tmp_path, request.param == "abstract")
    yield socket
    socket.close()
