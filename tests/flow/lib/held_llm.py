"""A behaviour of a scripted backend that answers only when the test lets it."""

from __future__ import annotations

import threading

from fake_llm import Behaviour, Request, Wire, answers


class Held:
    """Each request waits for one `let`; counts how many are at it, and were at most."""

    def __init__(self, text: str = "at last"):
        self.permits = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.begun: list[str] = []  # prompts, in the order in which they came
        self.answer: Behaviour = answers(text)

    def let(self, count: int = 1) -> None:
        self.permits.release(count)

    def __call__(self, q: Request, w: Wire) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.begun.append(q.json["messages"][-1]["content"])
        try:
            while not self.permits.acquire(blocking=False):
                w.pause(0.005)
                if w.llm.stopping.is_set():
                    return
            is_last = True
        finally:
            with self.lock:
                self.now -= 1
        if is_last:
            self.answer(q, w)
