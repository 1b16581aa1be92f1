"""A real vLLM behind the gateway while nothing is wrong."""

import pytest
from asking import PROMPTS, ask, check_exact, check_plain, was_resumed
from gateway import wait_until

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_model_never_repeats_itself_so_that_a_lost_character_shows(prompt, undisturbed):
    text = undisturbed.text(prompt)
    assert len(text) > 900 and len({text[i:i + 12] for i in range(len(text) - 11)}) > len(text) - 30


@pytest.mark.parametrize("more", [{}, {"max_tokens": 40}, {"max_tokens": 80}])
def test_an_answer_is_that_of_the_server(more, one, two, lasting, undisturbed):
    gw = lasting(one, two)
    streamed, plain = ask(gw, PROMPTS[0], **more), ask(gw, PROMPTS[0], stream=False, **more)
    assert check_exact(streamed, undisturbed.text(PROMPTS[0], **more))["_backend"] == "one"
    assert not was_resumed(streamed)
    check_plain(plain, undisturbed.answer(PROMPTS[0], **more))


def test_its_refusals_are_for_the_client_to_mend_and_blame_nobody(one, two, lasting):
    gw = lasting(one, two)
    for more in ({"max_tokens": 5000}, {"max_tokens": 0}, {"temperature": 9}, {"messages": []}):
        answer = gw.chat(**{"stream": True, **more})
        assert answer.status == 400 and answer.json["error"]["message"], answer.body
    assert gw.state("one") == gw.state("two") == "HEALTHY"


def test_leaving_ends_the_work_of_the_server(one, two, lasting):
    gw = lasting(one, two)
    sock = gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    assert b"data:" in sock.recv(65536) + sock.recv(65536)
    assert one.running_requests() == 1
    sock.close()
    wait_until(lambda: one.running_requests() == 0, 5, "nothing runs")
