"""What a request and a token cost through fallthrough, next to nginx, HAProxy and a bare TCP relay.

Each round runs every path in short turns under the same load: straight to the mock backend (bare), then
through each gateway, one worker each, all gateways on one core, the mock and the load on another. The cost
of a gateway is the CPU time of its processes between the start and the end of a load, divided by what was
answered. Ratios are taken within a round, so that a change of the machine touches both sides. One table at
the end, and the same as TSV (with every round's values) and Markdown beside it.

    bench.py [--case NAME,...] [--rounds N] [--quick] [--peers NAME,...|all] [--markdown]

FALLTHROUGH_BINARY names another binary than the build's. Everything runs on loopback and is stopped at the end.
The parts are in benchlib/.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from benchlib import counting, extras, peers, rounds, table
from benchlib.cases import CASES, SLOW_PEER_CONNECTIONS, Plan
from benchlib.gateways import FALLTHROUGH, WATCHED  # noqa: F401  (instructions.py has them from here)
from benchlib.machine import ROOT, Deadline, Failure, free_ports, pick_cores, raise_files, say  # noqa: F401
from benchlib.stage import Place

EXTRAS = {**extras.EXTRAS, "instructions": counting.run_instructions}
NAMES = [case.name for case in CASES] + list(EXTRAS)


def find_binary(build: pathlib.Path) -> pathlib.Path:
    given = os.environ.get("FALLTHROUGH_BINARY")
    places = [pathlib.Path(given)] if given else [build / "fallthrough",
                                                  build / "src" / "cmd" / "fallthrough"]
    for place in places:
        if place.is_file():
            return place.resolve()
    sys.exit(f"bench: no {places[0]}; make build")


def run(names: list[str], plan: Plan, place: Place, chosen_peers: list[str], results: table.Results) -> None:
    for case in CASES:
        results.titles[case.name] = case.what
    for name in names:
        began = time.monotonic()
        try:
            if name in EXTRAS:
                EXTRAS[name](plan, place, results)
            else:
                rounds.run_case(next(c for c in CASES if c.name == name), plan, place, chosen_peers, results)
        except Failure as why:
            results.lose(name, table.OURS, str(why).splitlines()[0][:100])
        except subprocess.TimeoutExpired:
            sys.exit(f"bench: not done within {plan.limit_s} s; is the machine busy?")
        say(f"{name}: {time.monotonic() - began:.0f} s")
    extras.compare_streams(results)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default=",".join(NAMES), help="of: " + ", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=3, help="rounds after the warm-up (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round of each, to see that it works")
    parser.add_argument("--peers", default="", help="all, or some of: " + ", ".join(peers.PEERS))
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build",
                        help="the Meson build directory with the bench's programs")
    options = parser.parse_args()
    options.names = options.case.split(",")
    options.chosen = list(peers.PEERS) if options.peers == "all" else [p for p in options.peers.split(",") if p]
    for name in [n for n in options.names if n not in NAMES] + [p for p in options.chosen if p not in peers.PEERS]:
        parser.error(f"there is no {name}")
    return options


def choose_peers(options: argparse.Namespace, results: table.Results) -> list[str]:
    results.absent.update(peers.ABSENT)
    results.absent.update({name: "not asked for (--peers)" for name in peers.PEERS if name not in options.chosen})
    results.absent.update(peers.install(options.chosen))
    chosen = [name for name in options.chosen if name not in results.absent]
    results.notes += [f"{name} gets {SLOW_PEER_CONNECTIONS} connections at most: it carries no more"
                      for name in chosen if name in peers.SLOW]
    return chosen


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is stopped then too
    options = read_options()
    build = options.build.resolve()
    binary = find_binary(build)
    results = table.Results()
    chosen = choose_peers(options, results)
    plan = Plan(options.rounds, scale=0.5 if options.quick else 1, limit_s=1800, is_quick=options.quick)
    raise_files()
    load_core, gateway_core = pick_cores()
    with tempfile.TemporaryDirectory(prefix="fallthrough-bench-") as folder:
        place = Place(build / "tests" / "bench", binary, pathlib.Path(folder), load_core, gateway_core,
                      Deadline(plan.limit_s))
        say(f"mock and load on core {load_core}, gateways on core {gateway_core}")
        run(options.names, plan, place, chosen, results)
    table.write(results, build)
    print(table.markdown(results)) if options.markdown else table.print_plain(results)
    print(f"\nRatios are within a round. All values: {build / 'bench.tsv'}, {build / 'bench.md'}")
    return 0 if results.is_ours_whole() else 1


if __name__ == "__main__":
    sys.exit(main())
