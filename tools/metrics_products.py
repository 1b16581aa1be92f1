"""Writes what follows from the program's table of metrics: the table in docs/metrics.md, the Grafana dashboard
dashboards/fallthrough.json and the alert rules prometheus/fallthrough.rules.yml.

The program is the source (`fallthrough metrics-table`); alerts and panels stand in tools/metrics_rules.py and
tools/metrics_board.py, and may name only metrics and labels that the program has, or its GPU agent.

    metrics_products.py PROGRAM            writes the files
    metrics_products.py PROGRAM --check    says which of them are not as they would be written
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import subprocess
import sys

from metrics_board import dashboard, expressions
from metrics_rules import ALERTS

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS, BOARD, RULES = (pathlib.Path(p) for p in ("docs/metrics.md", "dashboards/fallthrough.json", "prometheus/fallthrough.rules.yml"))
TABLE = re.compile(r"(\| metric \| type \| labels \| help \|\n\| --- \| --- \| --- \| --- \|\n)(?:\|.*\n)*")
NAME = re.compile(r"\b(?:fallthrough|process)_[a-z0-9_]+\b")
SELECTOR = re.compile(r"\b((?:fallthrough|process)_[a-z0-9_]+)\{([^}]*)\}")
PART = re.compile(r"_(bucket|sum|count)$")
AGENT_METRIC = re.compile(r'"(fallthrough_(?:gpu|agent)_[a-z_]+)"')


def read_table(program: str) -> list[dict]:
    return json.loads(subprocess.run([program, "metrics-table"], capture_output=True, check=True, timeout=60).stdout)


def agent_metrics() -> set[str]:
    return set(AGENT_METRIC.findall((ROOT / "src/agent/gpu_metrics.c").read_text()))


# --- what is named must exist ---

def unknown_names(expr: str, table: list[dict]) -> list[str]:
    """What an expression names that nobody exposes: metrics, or labels of them."""
    rows = {row["name"]: row for row in table}
    wrong = []
    for name in NAME.findall(expr):
        family = PART.sub("", name) if rows.get(PART.sub("", name), {}).get("type") == "histogram" else name
        plain = rows.get(family, {}).get("type") == "histogram" and family == name
        if plain or (family not in rows and name not in agent_metrics()):
            wrong.append(name)
    for name, labels in SELECTOR.findall(expr):
        row = rows.get(PART.sub("", name)) or rows.get(name)
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
        known = {*row["labels"], "le", "instance", "job"} if row else used
        wrong += [f"{name}{{{label}}}" for label in sorted(used - known)]
    return wrong


# --- the products ---

def docs_text(table: list[dict]) -> str:
    def line(row: dict) -> str:
        labels = ", ".join(f"`{label}`" for label in row["labels"]) or "–"
        return f"| `{row['name']}` | {row['type']} | {labels} | {row['help']} |\n"
    rows = "".join(line(row) for row in table)
    return TABLE.sub(lambda m: m[1] + rows, (ROOT / DOCS).read_text(), count=1)


def rules_text() -> str:
    lines = ["# Made by tools/metrics_products.py from tools/metrics_rules.py; change it there.",
             "groups:", "  - name: fallthrough", "    rules:"]
    for alert in ALERTS:
        lines += [f"      - alert: Fallthrough{alert.name}", f"        expr: {json.dumps(alert.expr)}"]
        lines += [f"        for: {alert.wait}"] if alert.wait != "0s" else []
        lines += ["        labels:", f"          severity: {alert.severity}", "        annotations:",
                  f"          summary: {json.dumps(alert.summary)}", f"          action: {json.dumps(alert.action)}"]
    return "\n".join(lines) + "\n"


def products(table: list[dict]) -> dict[pathlib.Path, str]:
    for expr in [*expressions(), *(alert.expr for alert in ALERTS)]:
        if wrong := unknown_names(expr, table):
            sys.exit(f"metrics_products: {', '.join(wrong)}: not in the table; in {expr}")
    return {DOCS: docs_text(table), BOARD: json.dumps(dashboard(), indent=1) + "\n", RULES: rules_text()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    stale = 0
    for name, text in products(read_table(args.program)).items():
        path = ROOT / name
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        if args.check:
            print(f"{name} is not what tools/metrics_products.py writes")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
