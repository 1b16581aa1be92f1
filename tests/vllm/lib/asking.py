"""Asking a real vLLM, by itself and through the gateway, and what an answer must be like."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from typing import Any

from gateway import Answer, Gateway, wait_until
from raw_client import Ended, RawClient, post
from server import MODEL_NAME, Vllm

PROMPTS = ["Hi", "Name three colours.", "Tell me a story about a lighthouse.", "x", "What is 2+2?", "Why?",
           "Write a poem", "Who are you?"]
CONTENT = re.compile(rb'"content":"((?:[^"\\]|\\.)*)"')


def body(prompt: str, **more: Any) -> dict:
    """Without `max_tokens` or `stop` an answer is as long as the context allows, about 1,000 characters."""
    return {"messages": [{"role": "user", "content": prompt}], "temperature": 0, **more}


class Undisturbed:
    """Answers of a vLLM that was asked directly, while nothing happened to it. Asked once each."""

    def __init__(self, vllm: Vllm):
        self.vllm = vllm
        self.known: dict[str, dict] = {}

    def answer(self, prompt: str, **more: Any) -> dict:
        data = json.dumps({"model": MODEL_NAME, **body(prompt, **more)})
        if data not in self.known:
            request = urllib.request.Request(self.vllm.url + "/v1/chat/completions", data.encode(),
                                             {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=120) as response:
                self.known[data] = json.load(response)
        return self.known[data]

    def text(self, prompt: str, **more: Any) -> str:
        return self.answer(prompt, **more)["choices"][0]["message"]["content"]

    def stop_after(self, prompt: str, count: int) -> str:
        """A character that ends the answer soon after so many others: it comes there for the first time. A stop
        string of one character keeps no text back."""
        text = self.text(prompt)
        return next(c for at, c in enumerate(text) if at >= count and c not in text[:at])


class Asking(threading.Thread):
    """A question to the gateway whose answer is read while the test goes on. `stream=False` asks for a
    plain one."""

    def __init__(self, gateway: Gateway, prompt: str, stream: bool = True, model: str = "m", **more: Any):
        super().__init__(daemon=True)
        self.prompt = prompt
        self.client = RawClient(gateway.port, timeout=120)
        self.client.send(post({"model": model, "stream": stream, **body(prompt, **more)}))
        self.received = b""
        self.result: Answer | None = None
        self.trouble: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            status, headers = self.client.head()
            if headers.get("transfer-encoding") == "chunked":
                self._read_chunks()
            else:
                self.received = self.client.take(int(headers["content-length"]))
            self.result = Answer(status, headers, self.received, 0)
        except (OSError, Ended, AssertionError) as e:
            self.trouble = e
        finally:
            self.client.close()

    def _read_chunks(self) -> None:
        try:
            while (piece := self.client.chunk()) is not None:
                self.received += piece
        except Ended:
            pass  # cut: there is no [DONE] then, and the test sees that

    def wait_text(self, count: int) -> None:
        """Until so many characters have come. (Chunks do not tell: one can hold very many.)"""
        wait_until(lambda: sum(map(len, CONTENT.findall(self.received))) >= count or not self.is_alive(), 60,
                   f"{count} characters of the answer to {self.prompt!r}")

    def answer(self) -> Answer:
        self.join(180)
        assert self.result is not None, self.trouble or "no answer within 180 s"
        return self.result


def ask(gateway: Gateway, prompt: str, stream: bool = True, **more: Any) -> Answer:
    return Asking(gateway, prompt, stream, **more).answer()


def ask_all(gateway: Gateway, prompts: list[str], apart: int, **more: Any) -> list[Asking]:
    """One after the other, each when the one before has had so many characters: so that one fault finds them in
    different places. Returns when the last one has had them, too."""
    asking: list[Asking] = []
    for prompt in prompts:
        asking.append(Asking(gateway, prompt, **more))
        asking[-1].wait_text(apart)
    return asking


def failures(gateway: Gateway) -> list[str]:
    """Why attempts have failed so far, in the words of the log."""
    return [re.search(r"reason=(\w+)", line)[1] for line in gateway.logged("attempt failed")]


# --- what an answer must be like ---

def check_form(answer: Answer) -> dict:
    """A whole stream, as from one server; returns its last chunk with a choice."""
    assert answer.status == 200
    assert answer.is_whole_stream and answer.payloads.count("[DONE]") == 1, answer.payloads[-2:]
    assert len({(c["id"], c["created"], c["model"]) for c in answer.chunks}) == 1
    choices = [c["choices"][0] for c in answer.chunks if c["choices"]]
    assert [("role" in c["delta"]) for c in choices].count(True) == 1 and "role" in choices[0]["delta"]
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] in (["stop"], ["length"])
    assert choices[-1]["finish_reason"]
    return [c for c in answer.chunks if c["choices"]][-1]


def check_exact(answer: Answer, text: str) -> dict:
    last = check_form(answer)
    assert answer.streamed_text == text
    return last


def check_plain(answer: Answer, expected: dict) -> None:
    """One whole JSON body, the same as that of an undisturbed server but for its names."""
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
    mine, theirs = answer.json["choices"], expected["choices"]
    assert len(mine) == len(theirs) == 1
    assert mine[0]["message"]["content"] == theirs[0]["message"]["content"]
    assert mine[0]["message"]["role"] == "assistant"
    assert mine[0]["finish_reason"] == theirs[0]["finish_reason"]
    for what in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert answer.json["usage"][what] == expected["usage"][what]


def was_resumed(answer: Answer) -> bool:
    return any(c.get("_resumed") for c in answer.chunks)


def check_other(answer: Answer, text: str) -> None:
    """One stream that began at a vLLM, of whose words none is missing, and went on at a llama.cpp server, which
    has another model and so another end."""
    assert check_form(answer)["_backend"] == "llama" and was_resumed(answer)
    # Their chunks can be told apart by a member that only vLLM has.
    of_vllm = "".join(c["choices"][0]["delta"].get("content") or "" for c in answer.chunks
                      if c["choices"] and "token_ids" in c["choices"][0])
    assert len(of_vllm) >= 10 and text.startswith(of_vllm) and answer.streamed_text.startswith(of_vllm)
