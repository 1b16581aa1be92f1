"""How the page looks in the situations that matter, each kept as a picture; and that it says the right
words there, in the right order, in a window as narrow as a phone's too."""

from __future__ import annotations

from gateway import wait_until
from page_scenes import PHONE, a_week, config, headline, hour, wait_headline, width_over, with_hours

LLAMA, QWEN = "llama-3.1-8b", "qwen2.5-coder-32b"
MODELS = {LLAMA: [["gpu1", "gpu2"], ["small"], ["cpu"]], QWEN: [["gpu2"], ["cloud"]]}
TYPES = {"gpu1": "vllm", "gpu2": "vllm", "small": "ollama", "cpu": "llamacpp", "cloud": "openai"}
BUSY = {"gpu1": {"in_flight": 14, "tokens_per_s": 812.4, "first_token_p50_ms": 128, "first_token_p99_ms": 724,
                 "attempts": 18211, "failures": 12},
        "gpu2": {"in_flight": 11, "tokens_per_s": 640.2, "first_token_p50_ms": 128, "first_token_p99_ms": 512,
                 "attempts": 15870, "failures": 3}}


def start(llm, gateway, more: str = ""):
    llms = {name: llm(name, type=type_) for name, type_ in TYPES.items()}
    gw = gateway(config=config({n: (b.type, b.url) for n, b in llms.items()}, MODELS, more))
    gw.wait_probed(*TYPES)
    return gw, llms


def take_down(gw, llms, *names: str) -> None:
    for name in names:
        llms[name].stop()
    for name in names:
        gw.wait_state(name, "DOWN")


def headings(page) -> list[str]:
    return [h.split("\n")[0] for h in page.locator("main h2:visible").all_inner_texts()]


def test_all_is_well(llm, gateway, open_page, keep_picture):
    gw, _ = start(llm, gateway)
    hours = with_hours({LLAMA: hour(1), QWEN: hour(2)}, BUSY)
    page = open_page(gw, routes={"**/status*": hours})
    assert headline(page) == "Both models answer"
    assert [h.split(" the last")[0] for h in headings(page)] == [
        "Can users get answers?", "What is broken, and why?", "What does it cost?", "Incidents", "Backends"]
    told = page.locator("#answers").inner_text()
    assert "llama-3.1-8b: answers come from gpu1 and gpu2 (tier 1 of 3) since " in told
    assert "Nothing. All 5 backends are healthy." in page.locator("#broken").inner_text()
    page.wait_for_selector("#incidents .quiet, #incidents figure")
    assert page.title() == "✓ Both models answer · fallthrough"
    keep_picture(page, "healthy")
    page.emulate_media(color_scheme="dark")
    keep_picture(page, "healthy-dark")


def test_one_tier_is_down(llm, gateway, open_page, keep_picture):
    gw, llms = start(llm, gateway)
    for _ in range(3):
        gw.chat(model=LLAMA)
    take_down(gw, llms, "gpu1", "gpu2")
    hours = with_hours({LLAMA: hour(1, 96), QWEN: hour(2, 96)})
    page = open_page(gw, routes={"**/status*": hours})
    wait_headline(page, "Both models answer from a fallback tier")
    told = page.locator("#answers").inner_text()
    assert "answers come from small (tier 2 of 3) since " in told
    assert "shorter answers: at most 400 tokens" in told
    broken = page.locator("#broken").inner_text()
    assert "gpu1: probe failed: connection refused, since " in broken
    assert f"tier 1 of {LLAMA}" in broken.lower() and f"tier 1 of {QWEN}" in broken.lower()
    page.wait_for_selector("#incidents .incident")
    assert "Open" in page.locator("#incidents").inner_text()
    assert "No request lost" in page.locator("#incidents").inner_text()
    assert page.title().startswith("▲ ")
    keep_picture(page, "one-tier-down")
    page.emulate_media(color_scheme="dark")
    keep_picture(page, "one-tier-down-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    assert width_over(page) <= 0
    keep_picture(page, "phone-one-tier-down")


def test_all_is_down(llm, gateway, open_page, keep_picture):
    gw, llms = start(llm, gateway)
    take_down(gw, llms, *[name for name, type_ in TYPES.items() if type_ != "openai"])
    llms["cloud"].stop()
    wait_until(lambda: gw.chat(model=QWEN).status == 503 and gw.state("cloud") == "DOWN", 10, "the cloud is gone too")
    gw.chat(model=LLAMA)
    page = open_page(gw)
    wait_headline(page, "No answers from any model")
    told = page.locator("#answers").inner_text()
    assert "llama-3.1-8b: no answers: every backend is down since " in told
    assert page.locator("#broken li.fault").count() == 5
    page.wait_for_selector("#incidents .incident")
    told = page.locator("#incidents").inner_text()
    assert "request failed" in told and "No request lost" not in told
    assert page.title().startswith("✕ ")
    keep_picture(page, "all-down")
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    assert width_over(page) <= 0
    keep_picture(page, "phone-all-down-dark")


def test_sixty_backends(llm, gateway, open_page, keep_picture):
    well, gone = llm("well"), llm("gone")
    names = [f"rack{i // 8 + 1}-gpu{i % 8}" for i in range(60)]
    broken = {"rack2-gpu3", "rack5-gpu0", "rack5-gpu1"}
    models = {"llama-3.1-70b": [names[:24], names[24:40]], LLAMA: [names[16:32], names[40:]],
              QWEN: [["rack5-gpu0", "rack5-gpu1"], names[50:]], "bge-m3": [names[56:]]}
    gw = gateway(config=config({n: ("vllm", (gone if n in broken else well).url) for n in names}, models))
    gone.stop()
    for name in broken:
        gw.wait_state(name, "DOWN")
    page = open_page(gw)
    assert headline(page) == f"{QWEN} answers from a fallback tier"
    page.wait_for_selector("#incidents .incident")
    assert page.locator("#backends tbody tr").count() == 3  # those that are well are folded away
    keep_picture(page, "60-backends")
    page.get_by_role("button", name="Show 57 healthy backends").click()
    assert page.locator("#backends tbody tr").count() == 60
    keep_picture(page, "60-backends-all")
    page.get_by_label("Filter").fill("rack5 down")
    assert page.locator("#backends tbody th .name").all_inner_texts() == ["rack5-gpu0", "rack5-gpu1"]
    page.get_by_label("Filter").fill("")
    page.set_viewport_size(PHONE)
    assert page.locator("#backends tbody tr").count() == 60
    assert width_over(page) <= 0
    keep_picture(page, "phone-60-backends")


def test_the_history_of_a_week(llm, gateway, open_page, keep_picture, tmp_path):
    file = tmp_path / "history.db"
    llms = {name: llm(name, type=TYPES[name]) for name in TYPES}
    text = config({n: (b.type, b.url) for n, b in llms.items()}, MODELS, f"history: {file}")
    gateway(config=text).stop()  # makes the file
    week = a_week(file)
    gw = gateway(config=text)
    gw.wait_probed(*TYPES)
    page = open_page(gw, routes={"**/status*": with_hours({LLAMA: hour(1), QWEN: hour(2)}, BUSY)})
    page.wait_for_selector("#incidents .incident")
    strip = page.get_by_role("img", name="The last seven days")
    assert f"{week.incident} incidents, 0 open" in strip.get_attribute("aria-label")
    keep_picture(page, "week")
    while (older := page.get_by_role("button", name="older of")).count() > 0:
        older.click()
    assert page.locator("#incidents .incident").count() == week.incident
    story = page.locator("#incidents .incident", has_text="14 requests failed")
    story.locator("summary").click()
    page.wait_for_selector("#incidents .story li")
    assert "gpu1 went from HEALTHY to DOWN" in story.inner_text()
    keep_picture(page, "week-all")
    page.set_viewport_size(PHONE)
    assert width_over(page) <= 0
    keep_picture(page, "phone-week")
