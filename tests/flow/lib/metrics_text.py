"""Reads /metrics strictly: a line that is not of the format, or a sample given twice, is an error."""

from __future__ import annotations

import re
import shutil
import subprocess

NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
LABEL = rf'({NAME})="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([0-9.]+)")
UNESCAPED = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


class Metrics:
    def __init__(self, text: str):
        self.text = text
        self.samples: dict[tuple[str, frozenset], float] = {}
        assert text.endswith("\n")
        for line in text.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                continue
            m = SAMPLE.fullmatch(line)
            assert m, f"not a sample: {line!r}"
            labels = {k: re.sub(r"\\.", lambda e: UNESCAPED[e[0]], v)
                      for k, v in re.findall(LABEL, m[2] or "")}
            key = (m[1], frozenset(labels.items()))
            assert key not in self.samples, f"twice: {line!r}"
            self.samples[key] = float(m[m.lastindex])

    def value(self, name: str, **labels: str) -> float:
        """Of the one sample with exactly these labels. `from` is written from_."""
        return self.samples[name, frozenset((k.rstrip("_"), v) for k, v in labels.items())]

    def all(self, name: str, **labels: str) -> dict[frozenset, float]:
        """Of each sample that has these labels among its own; those that are 0 left out."""
        wanted = {(k.rstrip("_"), v) for k, v in labels.items()}
        return {own: value for (its, own), value in self.samples.items()
                if its == name and wanted <= own and value}

    def sum(self, name: str, **labels: str) -> float:
        return sum(self.all(name, **labels).values())

    @property
    def counters(self) -> dict[tuple[str, frozenset], float]:
        """What may only grow: counters, and the parts of histograms."""
        return {k: v for k, v in self.samples.items() if re.search(r"_(total|bucket|sum|count)$", k[0])}


def scrape(gw) -> Metrics:
    answer = gw.request("GET", "/metrics", admin=True)
    assert answer.status == 200
    return Metrics(answer.body.decode())


def promtool(text: str) -> str:
    """What `promtool check metrics` complains of."""
    program = shutil.which("promtool")
    assert program, "needs promtool: Debian's package prometheus (tools/install.sh check)"
    done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True,
                          timeout=30, check=False)
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"exit {done.returncode}")
