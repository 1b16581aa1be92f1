"""The bytes of a real vLLM, cut at every kind of place, and gone on with at another real vLLM."""

import json

import pytest
from asking import PROMPTS, Undisturbed, check_exact, check_plain, was_resumed

pytestmark = pytest.mark.timeout(600)

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def after_events(*counts: int) -> list[dict]:
    return [{"max_events": count} for count in counts]


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_stream_cut_after_any_byte_is_completed(how, cut_off, undisturbed):
    prompt = PROMPTS[1]
    more = {"stop": undisturbed.stop_after(prompt, 40)}
    (_, whole), = cut_off([{}], prompt, **more)
    tail = whole.seen - 600  # the end of the text, the finish_reason, [DONE]
    places = [*range(1, tail, tail // 60), *range(tail, whole.seen, 29)]
    resumed = 0
    for answer, _ in cut_off([{"max_bytes": p, "how": how} for p in places], prompt, **more):
        check_exact(answer, undisturbed.text(prompt, **more))
        resumed += was_resumed(answer)
    assert resumed > 20  # an answer can be shorter than the first one: an event can hold several tokens


def test_a_long_stream_cut_anywhere_is_completed(cut_off, undisturbed):
    resumed = 0
    for answer, _ in cut_off(after_events(*range(3, 950, 59)), PROMPTS[2]):
        check_exact(answer, undisturbed.text(PROMPTS[2]))
        resumed += was_resumed(answer)
    assert resumed > 6


def test_a_plain_answer_cut_after_any_byte_is_completed(cut_off, undisturbed):
    prompt = PROMPTS[3]
    more = {"stop": undisturbed.stop_after(prompt, 40)}
    (_, whole), = cut_off([{}], prompt, stream=False, **more)
    places = [{"max_bytes": p} for p in range(1, whole.seen - 40, whole.seen // 20)]
    cut = cut_off(places, prompt, stream=False, **more)
    for answer, _ in cut:
        check_plain(answer, undisturbed.answer(prompt, **more))
    assert sum(cutter.was_cut for _, cutter in cut) > 10


def test_limit_and_usage_are_those_of_the_whole_answer(cut_off, undisturbed):
    prompt, limit = PROMPTS[4], 60
    more = {"max_tokens": limit, "stream_options": {"include_usage": True}}
    expected = undisturbed.answer(prompt, max_tokens=limit)["usage"]
    for answer, _ in cut_off(after_events(2, 3, 17, 31, 49, limit - 1), prompt, **more):
        # However many tokens vLLM put into a chunk before the cut.
        check_exact(answer, undisturbed.text(prompt)[:limit])
        usage = answer.chunks[-1]["usage"]
        assert [usage[c] for c in COUNTS] == [expected[c] for c in COUNTS]


def test_usage_that_was_cut_off_is_measured(cut_off, undisturbed):
    prompt, limit = PROMPTS[4], 40
    more = {"max_tokens": limit, "stream_options": {"include_usage": True}}
    expected = undisturbed.answer(prompt, max_tokens=limit)["usage"]
    (_, whole), = cut_off([{}], prompt, **more)
    # Behind the finish_reason: inside the usage chunk, and before it.
    for answer, _ in cut_off([{"max_bytes": whole.seen - back} for back in (60, 120, 200)], prompt, **more):
        check_exact(answer, undisturbed.text(prompt)[:limit])
        usage = answer.chunks[-1]["usage"]
        assert [usage[c] for c in COUNTS] == [expected[c] for c in COUNTS]


def test_each_token_has_its_logprob_once(one, cut_off, undisturbed):
    more = {"stop": undisturbed.stop_after(PROMPTS[5], 40), "logprobs": True, "top_logprobs": 2}
    Undisturbed(one).answer(PROMPTS[5], **more)  # the first time takes long
    text = undisturbed.text(PROMPTS[5], **more)
    for answer, _ in cut_off(after_events(2, 9, 25, 39), PROMPTS[5], **more):
        check_exact(answer, text)
        tokens = [t["token"] for c in answer.chunks if c["choices"]
                  for t in (c["choices"][0]["logprobs"] or {"content": []})["content"]]
        # The stop string is no text but had its token.
        assert "".join(tokens).removesuffix(more["stop"]) == text


def test_a_stop_string_that_lies_across_the_cut_stops_the_answer(cut_off, undisturbed):
    whole = undisturbed.text(PROMPTS[6])
    stop = whole[30:36]
    for answer, _ in cut_off(after_events(*range(20, 32)), PROMPTS[6], stop=stop):
        last = check_exact(answer, whole[:whole.index(stop)])
        assert last["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("more", [
    {"structured_outputs": {"regex": "([a-z]{4}[0-9]){8}"}},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well, "}],
     "continue_final_message": True, "add_generation_prompt": False},
], ids=["held_to_a_form", "continuing_what_the_client_began"])
def test_what_cannot_be_continued_is_repeated_and_what_the_client_has_is_skipped(more, one, cut_off, undisturbed):
    Undisturbed(one).answer("Hi", **more)
    answers = [answer for answer, _ in cut_off(after_events(2, 5, 11, 30), "Hi", **more)]
    for answer in answers:
        check_exact(answer, undisturbed.text("Hi", **more))
    assert was_resumed(answers[0])


def test_two_answers_in_one_stream_end_honestly(cut_off):
    (answer, _), = cut_off(after_events(20), "Hi", n=2, temperature=1)
    assert not answer.is_whole_stream
    assert json.loads(answer.payloads[-1])["error"]["code"] == "stream_interrupted"


def test_sampled_text_goes_on_under_the_same_form(cut_off):
    (answer, _), = cut_off(after_events(20), "Hi", temperature=1)
    assert answer.is_whole_stream and was_resumed(answer) and len(answer.streamed_text) > 900
