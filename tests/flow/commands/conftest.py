"""What runs a command of the binary under test."""

from running import cli, finish, on_terminal, start  # noqa: F401
