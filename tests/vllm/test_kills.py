"""A real vLLM dies under open answers, in each way in which its processes can: every one is completed."""

import signal
import threading

import pytest
from asking import PROMPTS, Asking, ask, ask_all, check_exact, check_other, check_plain, failures
from gateway import wait_until

pytestmark = pytest.mark.timeout(900)

# What dies, and how the gateway may see it; each leaves the server to be started again.
DEATHS = {
    # The engine lives on without it; the streams break off in the middle.
    "the_api_server_is_killed": ("api", signal.SIGKILL, {"reset", "truncated", "closed"}),
    # An error event, [DONE] and a clean end; exit status 0.
    "the_engine_is_killed": ("engine", signal.SIGKILL, {"error_in_stream"}),
    # The same, a second later.
    "the_worker_is_killed": ("worker", signal.SIGKILL, {"error_in_stream"}),
    # finish_reason "abort", usage and [DONE], which looks like success. But it does not wait for its engine to say
    # so: then it is an error event, or the streams stay open and silent.
    "it_is_asked_to_end": ("api", signal.SIGTERM, {"aborted", "error_in_stream", "stall"}),
}


class Newcomers(threading.Thread):
    """Short requests, one after the other, for as long as it is entered."""

    def __init__(self, gateway, prompt: str, **more):
        super().__init__(daemon=True)
        self.gateway, self.prompt, self.more = gateway, prompt, more
        self.is_over = threading.Event()
        self.answers: list = []
        self.trouble: Exception | None = None

    def __enter__(self):
        self.start()
        wait_until(lambda: self.answers or self.trouble, 20, "a newcomer is answered")
        return self

    def __exit__(self, *_exc):
        self.is_over.set()
        self.join(60)

    def run(self) -> None:
        try:
            while not self.is_over.wait(0.02):
                self.answers.append(ask(self.gateway, self.prompt, **self.more))
        except (AssertionError, OSError) as e:
            self.trouble = e


@pytest.mark.parametrize("death", DEATHS)
def test_every_answer_is_completed_when(death, one, two, llama, lasting, undisturbed):
    role, number, reasons = DEATHS[death]
    exact, mixed = lasting(one, two), lasting(one, llama)
    short = {"stop": undisturbed.stop_after(PROMPTS[7], 20)}
    known = len(failures(exact))
    with Newcomers(exact, PROMPTS[7], **short) as newcomers:
        streams = ask_all(exact, PROMPTS[:5], 40)
        plain = Asking(exact, PROMPTS[6], stream=False)
        other = ask_all(mixed, PROMPTS[5:6], 20, max_tokens=400)
        wait_until(lambda: one.running_requests() >= len(streams) + 2, 10, "all run at one server")
        one.send(role, number)
        for stream in streams:
            assert check_exact(stream.answer(), undisturbed.text(stream.prompt))["_resumed"] is True
        check_plain(plain.answer(), undisturbed.answer(PROMPTS[6]))
        exact.wait_state("one", "DOWN")
    assert newcomers.trouble is None, newcomers.trouble
    for answer in newcomers.answers:
        check_exact(answer, undisturbed.text(PROMPTS[7], **short))
    assert newcomers.answers[-1].backend == "two"
    assert reasons & set(failures(exact)[known:]), failures(exact)[known:]
    one.start()  # for the next test, while the last answer is awaited
    check_other(other[0].answer(), undisturbed.text(PROMPTS[5]))


def test_when_it_is_back_it_is_asked_again(one, two, lasting, undisturbed):
    gw = lasting(one, two)
    assert check_exact(ask(gw, PROMPTS[0]), undisturbed.text(PROMPTS[0]))["_backend"] == "one"
