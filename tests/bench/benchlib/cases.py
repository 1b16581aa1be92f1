"""What is measured: one table. bench.py --case takes the names."""

from __future__ import annotations

import dataclasses

CORE_PATHS = ("nginx", "haproxy", "relay", "fallthrough")
EVENTS_BESIDE = 3  # the role chunk, the finish and [DONE] are events too
SLOW_PEER_CONNECTIONS = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and how often. A round's turns are short, so that whatever else the machine does meets every
    path alike."""

    rounds: int
    scale: float    # of the seconds of a turn
    limit_s: int
    is_quick: bool


@dataclasses.dataclass(frozen=True)
class Case:
    """One load, on every path in turn."""

    name: str
    what: str
    figures: tuple[str, ...]
    connections: int = 64
    body_bytes: int = 1200
    seconds: int = 1        # of a turn in which requests begin
    turns: int = 1          # in a round
    is_stream: bool = False
    tokens: int = 100       # of a stream
    token_rate: int = 0     # of each stream, a second; 0: as fast as possible
    ramp_ms: int = 0        # connections begin spread over it
    share: float = 0        # --rate: of what nginx and fallthrough do; 0: no fixed rate
    rate: int = 0           # --rate: requests a second
    upstream: str = "never"  # fallthrough's streams.upstream
    others_stream: bool = False  # the client of the other paths asks for the stream itself
    has_peers: bool = False  # the large downloads take part
    rounds_max: int = 9

    @property
    def is_paced(self) -> bool:
        return self.is_stream and self.token_rate > 0

    @property
    def is_open(self) -> bool:
        return self.share > 0 or self.rate > 0


PLAIN = ("CPU µs/request", "requests/s", "latency p50, µs", "latency p99, µs")
STREAMS = ("CPU µs/token", "added first token p50, µs", "added first token p99, µs", "token delay p50, µs",
           "token delay p99, µs")
MEMORY = ("RSS idle, MiB", "RSS, MiB", "RSS per stream, KiB")
LATENCY = ("requests/s", "added p50, µs", "added p99, µs", "added p99.9, µs", "CPU µs/request")

CASES = (
    Case("plain-1", "1.2 KB, 1 connection", PLAIN, connections=1),
    Case("plain-64", "1.2 KB, 64 connections", (*PLAIN, "RSS idle, MiB"), turns=2, has_peers=True),
    Case("plain-1000", "1.2 KB, 1,000 connections", PLAIN, connections=1000, ramp_ms=200),
    Case("prompt-200k", "prompt of 200 KB, 16 connections", PLAIN, connections=16, body_bytes=200_000),
    Case("prompt-2m", "prompt of 2 MB, 8 connections", PLAIN, connections=8, body_bytes=2_000_000),
    Case("rescued-64", "1.2 KB, not streamed but streamed upstream (100 tokens); the others relay that stream",
         PLAIN, upstream="always", others_stream=True),
    Case("latency-low", "1.2 KB, 1,000 requests/s", LATENCY, connections=64, rate=1000, seconds=3),
    Case("latency-70", "1.2 KB, at 70 % of what nginx and fallthrough can do", LATENCY, connections=64, share=0.7,
         seconds=2),
    Case("streams-1", "1 stream × 50 tokens/s", STREAMS, is_stream=True, connections=1, tokens=50, token_rate=50,
         seconds=2),
    Case("streams-200", "200 streams × 50 tokens/s", (*STREAMS, *MEMORY), is_stream=True, connections=200,
         tokens=50, token_rate=50, seconds=2, ramp_ms=1000, has_peers=True),
    Case("streams-1000", "1,000 streams × 10 tokens/s", (*STREAMS, *MEMORY), is_stream=True, connections=1000,
         tokens=20, token_rate=10, seconds=1, ramp_ms=1000),
    Case("streams-2000", "2,000 streams × 5 tokens/s (50 are more than two cores carry)", (*STREAMS, *MEMORY),
         is_stream=True, connections=2000, tokens=15, token_rate=5, seconds=1, ramp_ms=1000,
         rounds_max=2),
    Case("streams-10000", "10,000 streams × 1 token/s (50 are more than two cores carry)", (*STREAMS, *MEMORY),
         is_stream=True, connections=10_000, tokens=6, token_rate=1, seconds=2, ramp_ms=2000, rounds_max=2),
    Case("streams-fast", "64 streams of 100 tokens as fast as possible", ("CPU µs/token", "tokens/s"),
         is_stream=True),
)
