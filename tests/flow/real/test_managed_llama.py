"""A real llama.cpp server with a real 135M model that the gateway starts when the tier above it is down."""

import json
import sys

import pytest
from gateway import ROOT, wait_until
from guarded import is_alive
from ports import free_port
from managed import BASE, guards_of, managed, wait_process


@pytest.fixture
def behind(llm, gateway):
    """A scripted tier 1, and a managed llama.cpp server behind it."""
    big, port = llm("big"), free_port()
    command = [sys.executable, str(ROOT / "tools/llama_backend.py"), str(port)]
    text = (BASE + f"backends:\n  big: {{type: vllm, url: '{big.url}'}}\n"
            f"  small:\n    type: llamacpp\n    url: http://127.0.0.1:{port}\n"
            f"    managed: {{command: {json.dumps(command)}, stop_after: 1s, start_timeout: 2m,"
            " stop: {term: 5s, rest: 1s, kill: 10s}}\n"
            "models: {m: {tiers: [{big: big}, {small: smollm2}]}}\n")
    gw = gateway(config=text, wait=False)
    gw.wait_probed("big")
    return gw, big


def test_the_small_model_answers_while_the_big_one_is_away(behind):
    gw, big = behind
    assert gw.chat(max_tokens=4).backend == "big"
    big.stop()
    wait_process(gw, "small", "ready", 120)
    pid = managed(gw, "small")["pid"]
    answer = gw.chat("Say yes.", max_tokens=4)
    assert (answer.status, answer.backend) == (200, "small") and answer.text
    streamed = gw.chat("Say no.", max_tokens=4, stream=True)
    assert streamed.is_whole_stream and streamed.streamed_text
    big.start()
    gw.wait_state("big", "HEALTHY")
    assert gw.chat(max_tokens=4).backend == "big"
    wait_process(gw, "small", "stopped", 60)
    wait_until(lambda: not is_alive(pid), 10)
    assert guards_of(gw) == []


def test_nothing_of_it_is_left_after_sigterm(behind):
    gw, big = behind
    big.stop()
    wait_process(gw, "small", "ready", 120)
    left = [*guards_of(gw), managed(gw, "small")["pid"]]
    assert gw.stop(40) == 0
    assert not [pid for pid in left if is_alive(pid)]
