"""The fixtures of tests/flow/agent (`agent(…)`: the real agent on a fake NVML) and tests/flow/guard (`guard(…)`)."""

from __future__ import annotations

import importlib.util
import pathlib
import sys


def load(name: str):
    """Another folder's conftest, under a name of its own."""
    path = pathlib.Path(__file__).resolve().parents[1] / name / "conftest.py"
    spec = importlib.util.spec_from_file_location(f"conftest_of_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


agent, fake_nvml = (getattr(load("agent"), name) for name in ("agent", "fake_nvml"))
guard = load("guard").guard
