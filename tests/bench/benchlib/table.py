"""The results, and how they are printed: a table, the same as TSV with every round's values, and as Markdown."""

from __future__ import annotations

import pathlib
import statistics

from . import targets

OURS = "fallthrough"
RATIO_BASES = ("nginx", "relay")
HEAD = ["case", "figure", "path", "min", "median", "max", *(f"× {base}" for base in RATIO_BASES), "target"]


class Results:
    """Values by case, figure and path, one for each round; what failed, and why."""

    def __init__(self):
        self.seen: dict[tuple[str, str, str], list[float]] = {}
        self.lost: dict[tuple[str, str], str] = {}
        self.titles: dict[str, str] = {}
        self.absent: dict[str, str] = {}
        self.notes: list[str] = []

    def note(self, case: str, figure: str, path: str, value: float) -> None:
        self.seen.setdefault((case, figure, path), []).append(value)

    def lose(self, case: str, path: str, why: str) -> None:
        self.lost.setdefault((case, path), why)

    def values(self, case: str, figure: str, path: str) -> list[float]:
        return self.seen.get((case, figure, path), [])

    def ratios(self, case: str, figure: str, path: str, base: str) -> list[float]:
        """Within each round. What is added can be nothing or less, then a ratio says nothing."""
        pairs = zip(self.values(case, figure, path), self.values(case, figure, base))
        return [v / b for v, b in pairs if v > 0 and b > 0]

    def verdicts(self, case: str, figure: str) -> list[tuple[str, bool]]:
        found = []
        for target in targets.find(case, figure):
            is_reached = target.judge(self.values(case, figure, OURS), self.values(case, figure, target.base))
            if is_reached is not None:
                found.append((target.text(), is_reached))
        return found

    def rows(self) -> list[list[str]]:
        """In the order of the cases, then of the figures."""
        keys = sorted(self.seen, key=lambda key: (self.place(0, key), self.place(1, key)))
        return [self.row(*key) for key in keys]

    def place(self, part: int, key: tuple[str, str, str]) -> int:
        return list(dict.fromkeys(k[part] for k in self.seen)).index(key[part])

    def row(self, case: str, figure: str, path: str) -> list[str]:
        values = self.values(case, figure, path)
        ratios = []
        for base in RATIO_BASES:
            found = self.ratios(case, figure, path, base) if path != base else []
            ratios.append(f"{statistics.median(found):.2f}" if found else "")
        judged = self.verdicts(case, figure) if path == OURS else []
        verdict = "; ".join(f"{text}: {'reached' if is_reached else 'NOT reached'}" for text, is_reached in judged)
        return [self.titles.get(case, case), figure, path, number(min(values)), number(statistics.median(values)),
                number(max(values)), *ratios, verdict]

    def remarks(self) -> list[str]:
        lost = [f"{case}: {path} has no figures, or not of each round: {why}"
                for (case, path), why in self.lost.items()]
        return self.notes + lost + [f"{name} is not measured: {why}" for name, why in self.absent.items()]

    def not_reached(self) -> int:
        return sum(not is_reached for case, figure in dict.fromkeys(k[:2] for k in self.seen)
                   for _, is_reached in self.verdicts(case, figure))

    def is_ours_whole(self) -> bool:
        return not any(path == OURS for _, path in self.lost)


def number(value: float) -> str:
    size = abs(value)
    return f"{value:.2f}" if size < 100 else f"{value:,.0f}"


def blank_repeats(lines: list[list[str]]) -> list[list[str]]:
    """Case and figure stand only where they change."""
    shown, previous = [], ["", ""]
    for line in lines:
        same_case = line[0] == previous[0]
        same_figure = same_case and line[1] == previous[1]
        shown.append(["" if same_case else line[0], "" if same_figure else line[1], *line[2:]])
        previous = line[:2]
    return shown


def print_plain(results: Results) -> None:
    rows = results.rows()
    widths = [max(len(line[i]) for line in [HEAD[1:]] + [row[1:] for row in rows]) for i in range(len(HEAD) - 1)]
    previous = ""
    for row, shown in zip(rows, blank_repeats(rows)):
        if row[0] != previous:
            print(f"\n{row[0]}")
            print("  " + "  ".join(h.ljust(w) if i < 2 or i > 4 else h.rjust(w)
                                   for i, (h, w) in enumerate(zip(HEAD[1:], widths))).rstrip())
        previous = row[0]
        print("  " + "  ".join(c.ljust(w) if i < 2 or i > 4 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(shown[1:], widths))).rstrip())
    for remark in results.remarks():
        print(f"\n{remark}")


def markdown(results: Results) -> str:
    lines = ["| " + " | ".join(HEAD) + " |", "| " + " | ".join(["---"] * len(HEAD)) + " |"]
    lines += ["| " + " | ".join(row) + " |" for row in blank_repeats(results.rows())]
    return "\n".join(lines + [""] + [f"* {remark}" for remark in results.remarks()]) + "\n"


def tsv(results: Results) -> str:
    lines = ["\t".join([*HEAD, "rounds"])]
    keys = sorted(results.seen, key=lambda key: (results.place(0, key), results.place(1, key)))
    for key in keys:
        rounds = ",".join(f"{v:.3f}" for v in results.seen[key])
        lines.append("\t".join([key[0], *results.row(*key)[1:], rounds]))
    return "\n".join(lines + [f"# {remark}" for remark in results.remarks()]) + "\n"


def write(results: Results, folder: pathlib.Path) -> None:
    (folder / "bench.tsv").write_text(tsv(results))
    (folder / "bench.md").write_text(markdown(results))
