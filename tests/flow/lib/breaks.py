"""An answer in pieces, backends that break in the middle of it, and one that goes on with it."""

from __future__ import annotations

from fake_llm import delta, pieces, stream_ollama, usage_chunk

TEXT = "The quick brown fox jumps over the lazy dog while \"quoted\" ünïcode 😀 words\nflow on and on"
WORDS = pieces(TEXT)


def partial_of(q) -> str | None:
    """What the gateway sent along as the beginning of the answer."""
    last = q.json["messages"][-1]
    return last["content"] if last["role"] == "assistant" else None


def continues(q, w):
    """A standby that goes on with what it is given, as vLLM, llama.cpp and a willing Ollama do."""
    given = partial_of(q) or ""
    assert TEXT.startswith(given)
    rest = TEXT[len(given):]
    if q.path.endswith("/api/chat"):
        stream_ollama(q, w, rest) if rest else w.line({"message": {}, "done": True, "done_reason": "stop"})
        return
    if given:
        assert q.json["continue_final_message"] is True and q.json["add_generation_prompt"] is False
    w.begin_stream()
    w.event({**delta("", role="assistant"), "id": "chatcmpl-other", "created": 1800000000, "model": "other"})
    w.event({**delta(rest), "id": "chatcmpl-other", "created": 1800000000, "model": "other"})
    w.event({**delta(finish="stop"), "id": "chatcmpl-other", "created": 1800000000, "model": "other"})
    if (q.json.get("stream_options") or {}).get("include_usage"):
        w.event(usage_chunk(1))
    w.event("[DONE]")
    w.end_stream()


def breaks_after(count, how):
    def play(q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for word in WORDS[:count]:
            w.event(delta(word))
        how(w)
    return play


BREAKS = {
    "close": lambda w: w.close(),
    "reset": lambda w: w.reset(),
    "error_event": lambda w: (w.event({"error": {"message": "boom", "code": 500}}), w.event("[DONE]"), w.end_stream()),
    "garbage": lambda w: (w.event("{nonsense"), w.hang()),
    "stall": lambda w: w.hang(),
    "abort": lambda w: (w.event(delta(finish="abort")), w.event("[DONE]"), w.end_stream()),
    "done_without_finish": lambda w: (w.event("[DONE]"), w.end_stream()),
    "clean_end": lambda w: w.end_stream(),
    "inside_an_event": lambda w: (w.send(b'40\r\ndata: {"choices":[{"index":0,"delta":{"content":"lost'), w.close()),
    "inside_a_character": lambda w: (w.send(b'60\r\ndata: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f'), w.reset()),
}
