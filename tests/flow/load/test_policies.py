"""Who of a tier serves next."""

import pytest
from fake_llm import answers
from gateway import wait_until

PREFIX = "You are a helpful assistant that knows everything about subject number "
# Hashes have a key of their own in each process: that all of so many meet at one of three happens in one of 10^9.
SUBJECTS = 20


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
    for _ in range(150):
        gw.chat()
    # It gets 8 of 10: 120 of 150, with a deviation of 4.9. Without weights it were 50, with one of 5.8.
    assert len(llms[0].chats) >= 90


def test_least_load_heeds_the_weight(llm, gateway):
    llms, gw = three(llm, gateway, "{}", backend_extra={"c": "weight: 10"})
    for _ in range(260):
        gw.chat()
    # Two of the three are drawn, and it is chosen whenever it is one of them: 173.3 of 260. Without the weight it
    # were each third request: 86.7. The deviation is 7.6 in either case, and 130 is 5.7 of them from both.
    assert len(llms[2].chats) >= 130


def test_least_load_prefers_the_heavy_one_of_two(llm, gateway):
    """Nothing is drawn here: both are compared each time, and 10 at the one count as one at the other."""
    a, b = llm("a", chat=answers("x")), llm("b", chat=answers("x"))
    gw = gateway(a, b, tiers=[[a, b]], backend_extra={"b": "weight: 10"})
    for _ in range(20):
        at_rest(gw, gw.chat())
    assert len(b.chats) == 20


@pytest.mark.parametrize("workers", ["1", "2"])
def test_prompts_that_begin_alike_meet_the_same_backend(llm, gateway, workers):
    llms, gw = three(llm, gateway, "{policy: prefix, prefix: 140}", workers=workers)
    for subject in range(SUBJECTS):
        met = {ask(gw, messages=messages(f"{PREFIX}{subject:030d}", f"question {n}")) for n in range(3)}
        assert len(met) == 1
    assert sum(1 for one in llms if one.chats) >= 2


def test_a_conversation_stays_where_it_began(llm, gateway):
    _, gw = three(llm, gateway, "{policy: prefix}")
    for subject in range(8):
        turns = [f"short question {subject}", "answer", "and then?", "more", "and then?"]
        assert len({ask(gw, messages=messages("Hi", *turns[:n])) for n in (1, 3, 5)}) == 1


def test_a_session_stays_at_its_backend(llm, gateway):
    llms, gw = three(llm, gateway, "{policy: session, session_header: X-Conversation}")
    for session in range(SUBJECTS):
        met = {at_rest(gw, gw.chat(headers={"x-conversation": f"s{session}"})).backend for _ in range(2)}
        met |= {ask(gw, user=f"s{session}", messages=messages("Hi", "there")) for _ in range(2)}
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
    for _ in range(90):
        gw.chat()
    # Each gets a third at random, 30 with a deviation of 4.5: 5.7 of them below that is one of 10^9.
    assert all(len(one.chats) >= 5 for one in llms)
