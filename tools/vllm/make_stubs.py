"""Lets PyTorch's CUDA build be imported on a machine without CUDA's libraries (1.8 GB that a CPU does
not need): writes a library of empty functions for each one that torch links against.

    make_stubs.py TORCH_LIB_FOLDER        needs gcc and readelf; does again what was done before
"""

from __future__ import annotations

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

# What torch 2.13.0 links against and how the functions of each begin. Not here: libcudart, which torch
# asks for devices while it is imported (the real one is small), and libcuda, which it does without.
LIBRARIES = {
    "libcublas.so.13": "cublas", "libcublasLt.so.13": "cublasLt", "libcudnn.so.9": "cudnn",
    "libcufft.so.12": "cufft", "libcufile.so.0": "cuFile", "libcupti.so.13": "cupti",
    "libcurand.so.10": "curand", "libcusolver.so.12": "cusolver", "libcusparse.so.12": "cusparse",
    "libcusparseLt.so.0": "cusparseLt", "libnccl.so.2": "nccl", "libnvrtc.so.13": "nvrtc",
    "libnvshmem_host.so.3": "nvshmem",
}
NO_DEVICE = 100  # cudaErrorNoDevice
UNDEFINED = re.compile(r" UND (\w+)(?:@(\S+))?")

Versions = dict[str, set[str]]  # version of a symbol ("" for none) -> functions


def owner_of(function: str) -> str | None:
    """The library with the longest beginning that fits: cublasLtMatmul is not of cublas."""
    fits = [lib for lib, start in LIBRARIES.items() if function.startswith(start)]
    return max(fits, key=lambda lib: len(LIBRARIES[lib]), default=None)


def wanted_functions(folder: pathlib.Path) -> dict[str, Versions]:
    wanted: dict[str, Versions] = {lib: collections.defaultdict(set) for lib in LIBRARIES}
    for path in sorted(folder.glob("lib*torch*.so")):
        table = subprocess.run(["readelf", "--dyn-syms", "--wide", path], check=True, capture_output=True,
                               text=True).stdout
        for function, version in UNDEFINED.findall(table):
            if (lib := owner_of(function)) is not None:
                wanted[lib][version].add(function)
    return wanted


def write_stub(target: pathlib.Path, versions: Versions) -> None:
    functions = sorted(f for group in versions.values() for f in group)
    script = "".join(f"{version} {{ global: {'; '.join(sorted(group))}; }};\n"
                     for version, group in sorted(versions.items()) if version)
    with tempfile.TemporaryDirectory() as folder:
        source, version_script = pathlib.Path(folder, "stub.c"), pathlib.Path(folder, "stub.map")
        source.write_text("".join(f"long {f}(void) {{ return {NO_DEVICE}; }}\n" for f in functions))
        version_script.write_text(script)
        options = [f"-Wl,--version-script={version_script}"] if script else []
        subprocess.run(["gcc", "-shared", "-fPIC", "-fno-builtin", "-o", target, source,
                        f"-Wl,-soname,{target.name}", *options], check=True)


def make_stubs(folder: pathlib.Path) -> None:
    for lib, versions in wanted_functions(folder).items():
        write_stub(folder / lib, versions)


if __name__ == "__main__":
    make_stubs(pathlib.Path(sys.argv[1]))
