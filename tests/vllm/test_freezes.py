"""A real vLLM whose processes stand still: /health stays 200, answers begin and never go on."""

import signal

import pytest
from asking import PROMPTS, Asking, ask, ask_all, check_exact, check_other, check_plain, failures
from gateway import wait_until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def freeze(one):
    """freeze(role): that process of the first vLLM stands still until the end of the test."""
    frozen: list[str] = []

    def stop(role: str) -> None:
        frozen.append(role)
        one.send(role, signal.SIGSTOP)

    yield stop
    for role in frozen:
        one.send(role, signal.SIGCONT)
    wait_until(lambda: one.is_well() and one.running_requests() == 0, 30, "the thawed vLLM has nothing to do")


@pytest.mark.parametrize("role", ["engine", "worker", "api"])
def test_answers_of_a_frozen_process_go_on_elsewhere(role, freeze, one, two, llama, lasting, undisturbed):
    exact, mixed = lasting(one, two), lasting(one, llama)
    known = len(failures(exact))
    streams = ask_all(exact, PROMPTS[:5], 25)
    plain = Asking(exact, PROMPTS[6], stream=False)
    other = ask_all(mixed, PROMPTS[5:6], 20, max_tokens=400)
    wait_until(lambda: one.running_requests() == len(streams) + 2, 10, "all run at one server")
    freeze(role)
    for stream in streams:
        assert check_exact(stream.answer(), undisturbed.text(stream.prompt))["_resumed"] is True
    check_plain(plain.answer(), undisturbed.answer(PROMPTS[6]))
    check_other(other[0].answer(), undisturbed.text(PROMPTS[5]))
    assert "stall" in failures(exact)[known:]


@pytest.mark.parametrize("role", ["engine", "worker", "api"])
def test_a_new_request_leaves_a_frozen_server_after_the_first_token_deadline(role, freeze, one, two, start_gateway,
                                                                             undisturbed):
    never_probes_again = "health: {interval: 1h}\n"
    gateways = [start_gateway([one, two], {"m": [one, two]}, never_probes_again) for _ in range(2)]
    freeze(role)
    streamed, plain = Asking(gateways[0], PROMPTS[1]), Asking(gateways[1], PROMPTS[1], stream=False)
    check_exact(streamed.answer(), undisturbed.text(PROMPTS[1]))
    check_plain(plain.answer(), undisturbed.answer(PROMPTS[1]))
    for asking in (streamed, plain):
        assert asking.answer().trail == "one:first_token_timeout,two:ok"


@pytest.mark.parametrize("role", ["engine", "api"])
def test_a_frozen_server_is_asked_again_when_it_goes_on(role, freeze, one, two, lasting, undisturbed):
    gw = lasting(one, two)
    freeze(role)
    assert ask(gw, PROMPTS[2]).backend == "two"
    one.send(role, signal.SIGCONT)
    gw.wait_state("one", "HEALTHY", 30)
    assert check_exact(ask(gw, PROMPTS[2]), undisturbed.text(PROMPTS[2]))["_backend"] == "one"
