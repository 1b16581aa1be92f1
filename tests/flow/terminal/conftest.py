"""What runs a command of the binary under test, and `window`: one in a terminal that is looked at."""

from __future__ import annotations

import pathlib
import shlex
import subprocess

import pytest
from gateway import BINARY, wait_until
from running import cli, environment, finish, on_terminal, start  # noqa: F401


class Window:
    """A tmux server of its own with one window, in which a shell runs."""

    def __init__(self, socket: pathlib.Path, columns: int, rows: int, env: dict[str, str]):
        self.words = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        shell = {"PS1": "$ ", "LC_ALL": "C.UTF-8", "HISTFILE": "", **env}
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in shell.items())
        self.tmux("new-session", "-d", "-s", "w", "-x", str(columns), "-y", str(rows),
                  f"env {settings} bash --norc --noprofile")
        self.wait("$")

    def tmux(self, *args: str) -> str:
        own = {k: v for k, v in environment(None).items() if k not in ("NO_COLOR", "TMUX")}
        return subprocess.run([*self.words, *args], check=True, capture_output=True, text=True, timeout=20,
                              env=own, stdin=subprocess.DEVNULL).stdout

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "w", *keys)

    def run(self, *args: str) -> None:
        """Types a command of the binary."""
        self.tmux("send-keys", "-t", "w", "-l", shlex.join([str(BINARY), *args]) + "; echo ended $?")
        self.keys("Enter")

    def resize(self, columns: int, rows: int) -> None:
        self.tmux("resize-window", "-t", "w", "-x", str(columns), "-y", str(rows))

    @property
    def lines(self) -> list[str]:
        return self.tmux("capture-pane", "-p", "-t", "w").splitlines()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def colored(self) -> str:
        return self.tmux("capture-pane", "-p", "-e", "-t", "w")

    def wait(self, text: str, limit_s: float = 30) -> list[str]:
        try:
            return wait_until(lambda: text in "\n".join(lines := self.lines) and lines, limit_s, f"'{text}' is shown")
        except AssertionError as e:
            raise AssertionError(f"{e}; shown:\n{self.text}") from None

    def end(self) -> None:
        self.tmux("kill-server")


@pytest.fixture
def window(tmp_path: pathlib.Path):
    made: list[Window] = []

    def make(columns: int = 80, rows: int = 24, **env: str) -> Window:
        made.append(Window(tmp_path / f"tmux{len(made)}", columns, rows, env))
        return made[-1]

    yield make
    for one in made:
        one.end()
