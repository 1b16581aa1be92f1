"""What is to be reached. A ratio is the median of those within the rounds."""

from __future__ import annotations

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Target:
    """Of one figure of fallthrough in some cases: at most so many times another path's in the same round, or at
    most (at_least: no less than) a fixed number."""

    cases: tuple[str, ...]
    figure: str
    base: str = ""  # "": `most` is the figure itself
    most: float = 1.0
    is_floor: bool = False

    def text(self) -> str:
        sign = "≥" if self.is_floor else "≤"
        return f"{sign} {self.most:.3g}" + (f" × {self.base}" if self.base else "")

    def judge(self, values: list[float], base: list[float]) -> bool | None:
        if not values or (self.base and not base):
            return None
        if not self.base:
            middle = statistics.median(values)
            return middle >= self.most if self.is_floor else middle <= self.most
        # By differences: what is added may be next to nothing, or less.
        over = statistics.median(v - self.most * b for v, b in zip(values, base))
        return over <= 0


SMALL = ("plain-1", "plain-64", "plain-1000", "rescued-64")
LATE = ("latency-low", "latency-70")
STREAMS = ("streams-1", "streams-200", "streams-1000", "streams-2000", "streams-10000", "streams-fast")

TARGETS = (
    Target(SMALL, "CPU µs/request", "nginx", 0.8),
    Target(("prompt-200k", "prompt-2m"), "CPU µs/request", "nginx", 1.0),
    Target(("plain-64",), "CPU µs/request", "litellm", 1 / 500),
    Target(STREAMS, "CPU µs/token", "haproxy", 0.8),
    Target(LATE, "added p50, µs", "nginx", 1.0),
    Target(LATE, "added p99, µs", "nginx", 1.0),
    Target(("streams-1", "streams-200"), "added first token p50, µs", "nginx", 1.0),
    Target(("streams-1", "streams-200"), "added first token p99, µs", "nginx", 1.0),
    Target(("streams-1000",), "RSS, MiB", most=30),
    Target(("streams-10000",), "RSS, MiB", most=250),
    Target(("streams-10000",), "token delay p99, µs", "nginx", 1.0),
    Target(("workers",), "requests/s, 2 workers to 1", most=1.8, is_floor=True),
    Target(("backends",), "CPU µs/request, 64 backends to 1", most=1.1),
    Target(("streams-10000",), "CPU µs/token, to 1 stream", most=1.1),
)


def find(case: str, figure: str) -> list[Target]:
    return [t for t in TARGETS if case in t.cases and t.figure == figure]
