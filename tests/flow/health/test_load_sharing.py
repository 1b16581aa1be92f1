"""Several backends in one tier share its load; one that fails instantly must not attract traffic."""

from concurrent.futures import ThreadPoolExecutor

from fake_llm import answers, replies


def test_backends_of_one_tier_share_the_load(llm, gateway):
    a, b = llm("a", chat=answers("x y", gap_s=0.02)), llm("b", chat=answers("x y", gap_s=0.02))
    standby = llm("c")
    gw = gateway(a, b, standby, tiers=[[a, b], [standby]])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: gw.chat(), range(80)))
    assert len(a.chats) + len(b.chats) == 80
    # On a machine so slow that one is answered before the next one asks, it is a coin that decides: 40 each, with a
    # deviation of 4.5.
    assert len(a.chats) >= 15 and len(b.chats) >= 15
    assert not standby.chats


def test_the_less_loaded_of_two_is_chosen(llm, gateway):
    slow, fast = llm("slow", chat=answers("x y z", gap_s=0.3)), llm("fast", chat=answers("x"))
    gw = gateway(slow, fast, tiers=[[slow, fast]])
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: gw.chat(), range(60)))
    assert len(fast.chats) > 2 * len(slow.chats)


def test_a_backend_that_fails_instantly_does_not_attract_traffic(llm, gateway):
    broken, well = llm("broken", chat=replies(507)), llm("well", chat=answers("x y", gap_s=0.02))
    gw = gateway(broken, well, tiers=[[broken, well]], retry="{same_backend: 0}", health="{interval: 30s}")
    with ThreadPoolExecutor(8) as pool:
        answers_got = list(pool.map(lambda _: gw.chat(), range(80)))
    assert all(a.status == 200 for a in answers_got)
    assert len(broken.chats) < 30


def test_the_model_name_is_rewritten_per_backend(llm, gateway):
    a, b = llm("a", chat=replies(503)), llm("b")
    gw = gateway(a, b)
    answer = gw.chat()
    assert a.chats[0].json["model"] == "up-a" and b.chats[0].json["model"] == "up-b"
    assert answer.json["model"] == "fake-model"  # the model that answered
