"""Who of a tier serves next."""

import pytest
from fake_llm import answers
from gateway import wait_until

PREFIX = "You are a helpful assistant that knows everything about subject number "


def three(llm, gateway, load, **more):
    llms = [llm(name, chat=answers("x")) for name in "abc"]
    return llms, gateway(*llms, tiers=[llms], load=load, **more)


def messages(system, *turns):
    roles = ("user", "assistant")
    return [{"role": "system", "content": system}] + [
        {"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]


def ask(gw, **body):
    got = gw.request("POST", "/v1/chat/completions", {"model": "m", **body})
    assert got.status == 200
    return at_rest(gw, got).backend


def at_rest(gw, got):
    """The answer, when its attempt has ended too: else it counts as load for the next one's choice."""
    wait_until(lambda: all(b["in_flight"] == 0 for b in gw.status()["backends"]), what="nothing in flight")
    return got


def test_round_robin_gives_each_its_turn(llm, gateway):
    llms, gw = three(llm, gateway, "{policy: round_robin}")
    for _ in range(30):
        gw.chat()
    assert [len(one.chats) for one in llms] == [10, 10, 10]


def test_weighted_gives_by_weight(llm, gateway):
    llms, gw = three(llm, gateway, "{policy: weighted}", backend_extra={"a": "weight: 8", "b": "weight: 1"})
    for _ in range(100):
        gw.chat()
    assert len(llms[0].chats) >= 60 and len(llms[1].chats) + len(llms[2].chats) <= 40


def test_least_load_heeds_the_weight(llm, gateway):
    llms, gw = three(llm, gateway, "{}", backend_extra={"c": "weight: 10"})
    for _ in range(30):
        gw.chat()
    assert len(llms[2].chats) >= 15  # whenever it is one of the two


@pytest.mark.parametrize("workers", ["1", "2"])
def test_prompts_that_begin_alike_meet_the_same_backend(llm, gateway, workers):
    llms, gw = three(llm, gateway, "{policy: prefix, prefix: 140}", workers=workers)
    for subject in range(12):
        met = {ask(gw, messages=messages(f"{PREFIX}{subject:030d}", f"question {n}")) for n in range(5)}
        assert len(met) == 1
    assert sum(1 for one in llms if one.chats) >= 2


def test_a_conversation_stays_where_it_began(llm, gateway):
    _, gw = three(llm, gateway, "{policy: prefix}")
    for subject in range(8):
        turns = [f"short question {subject}", "answer", "and then?", "more", "and then?"]
        assert len({ask(gw, messages=messages("Hi", *turns[:n])) for n in (1, 3, 5)}) == 1


def test_a_session_stays_at_its_backend(llm, gateway):
    llms, gw = three(llm, gateway, "{policy: session, session_header: X-Conversation}")
    for session in range(12):
        met = {at_rest(gw, gw.chat(headers={"x-conversation": f"s{session}"})).backend for _ in range(4)}
        met |= {ask(gw, user=f"s{session}", messages=messages("Hi", "there")) for _ in range(4)}
        assert len(met) == 1  # the header's value and the body's user are the same name
    assert sum(1 for one in llms if one.chats) >= 2


def test_a_session_moves_when_its_backend_dies_and_the_others_stay(llm, gateway):
    llms, gw = three(llm, gateway, "{policy: session}")
    home = {s: at_rest(gw, gw.chat(headers={"x-session-id": f"s{s}"})).backend for s in range(20)}
    llms[0].stop()
    gw.wait_state("a", "DOWN")
    for session, backend in home.items():
        now = at_rest(gw, gw.chat(headers={"x-session-id": f"s{session}"})).backend
        assert now == backend if backend != "a" else now in "bc"


def test_without_a_session_the_load_decides(llm, gateway):
    llms, gw = three(llm, gateway, "{policy: session}")
    for _ in range(60):
        gw.chat()
    assert all(len(one.chats) >= 5 for one in llms)
