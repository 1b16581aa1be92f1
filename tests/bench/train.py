"""Runs a gateway that was built to count its branches (-Db_pgo=generate) under the loads that it is made for, so that
the compiler knows what is worth making fast: whole answers and streams, small and large prompts, an answer
rescued from a stream, a backend that dies under its streams. tools/release.sh calls it; the counts are written where the
objects lie when the gateway ends.

    train.py BUILD      BUILD: the Meson build directory
"""

from __future__ import annotations

import argparse
import pathlib
import signal
import sys
import tempfile

from benchlib import extras, table
from benchlib.cases import CASES, Plan
from benchlib.machine import Deadline, Failure, pick_cores, raise_files, say
from benchlib.stage import Place, Stage

TAUGHT = ("plain-64", "prompt-200k", "prompt-2m", "rescued-64", "streams-200", "streams-fast")
LIMIT_S = 300


def teach(name: str, place: Place) -> None:
    case = next(c for c in CASES if c.name == name)
    with Stage(place) as stage:
        stage.start_mock(tokens=case.tokens, rate=case.token_rate, stamped=case.is_paced)
        stage.start("fallthrough", stage.wiring(upstream=case.upstream))
        stage.load("fallthrough", case, case.seconds)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is stopped then too
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    build = parser.parse_args().build.resolve()
    raise_files()
    results = table.Results()
    with tempfile.TemporaryDirectory(prefix="fallthrough-train-") as folder:
        place = Place(build / "tests" / "bench", build / "fallthrough", pathlib.Path(folder), *pick_cores(), Deadline(LIMIT_S))
        try:
            for name in TAUGHT:
                say(f"training: {name}")
                teach(name, place)
            say("training: storm")
            extras.run_storm(Plan(rounds=1, scale=1, limit_s=LIMIT_S, is_quick=True), place, results)
        except Failure as why:
            sys.exit(f"train: {why}")
    return 0 if results.is_ours_whole() else 1


if __name__ == "__main__":
    sys.exit(main())
