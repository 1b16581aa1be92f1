"""What the page does: it follows the gateway without a reload, asks before it acts, and can be used by
keyboard and by those who do not see it."""

from __future__ import annotations

import json
import re

import pytest
from gateway import wait_until
from page_scenes import config, headline, wait_headline, width_over
from playwright.sync_api import Route, expect

EVIL = "<img src=x onerror=document.title='owned'>"


@pytest.fixture
def pair(llm, gateway):
    """A gateway with backend a in tier 1 of model m and b in tier 2."""
    a, b = llm("a"), llm("b")
    gw = gateway(config=config({"a": ("vllm", a.url), "b": ("vllm", b.url)}, {"m": [["a"], ["b"]]}))
    gw.wait_probed("a", "b")
    return gw, a, b


# --- the page follows ---


def test_a_death_and_a_recovery_are_shown_without_a_reload(pair, open_page):
    gw, a, _ = pair
    page = open_page(gw)
    assert headline(page) == "m answers"
    page.evaluate("window.isTheSame = true")
    a.stop()
    wait_headline(page, "m answers from a fallback tier")
    expect(page.locator("#answers")).to_contain_text("answers come from b (tier 2 of 2)")
    expect(page.locator("#broken")).to_contain_text("a: probe failed: connection refused")
    expect(page.locator("#incidents .incident")).to_contain_text("a went down")
    assert page.locator("[aria-live=polite]").inner_text() == "M answers from a fallback tier"
    assert page.locator("#icon").get_attribute("href").startswith("data:image/svg+xml")
    a.start()
    page.wait_for_function("() => document.querySelector('h1').textContent === 'm answers'")
    expect(page.locator("#broken")).to_contain_text("Nothing.")
    assert page.evaluate("window.isTheSame")


def test_what_the_reader_does_survives_the_next_answers(pair, open_page):
    gw, a, _ = pair
    a.stop()
    gw.wait_state("a", "DOWN")
    page = open_page(gw)
    page.locator("#incidents summary").first.click()
    expect(page.locator("#incidents .story li").first).to_contain_text("a went from HEALTHY")
    page.get_by_label("Filter").fill("down")
    with page.expect_response("**/status*"):
        pass
    with page.expect_response("**/status*"):  # what the one before said is shown
        pass
    assert page.evaluate("document.activeElement.id") == "filter"
    assert page.get_by_label("Filter").input_value() == "down"
    assert page.locator("#backends tbody tr").count() == 1
    assert page.locator("#incidents details").first.get_attribute("open") is not None


def test_a_gateway_that_goes_and_comes_back_is_noticed(llm, gateway, open_page):
    a = llm("a")
    text = config({"a": ("vllm", a.url)}, {"m": [["a"]]})
    first = gateway(config=text)
    first.wait_probed("a")
    page = open_page(first)
    page.seen.may_lose = True
    expect(page.locator("#incidents .deed")).to_have_count(1)
    first.stop()
    expect(page.get_by_role("alert").filter(has_text="Connection to the gateway lost since")).to_be_visible()
    expect(page).to_have_title(re.compile("Connection lost"))
    assert page.locator("#answers").is_visible()  # what was known stays
    gateway(config=text.replace("admin: 127.0.0.1:0", f"admin: 127.0.0.1:{first.admin_port}"))
    expect(page.locator("#lost")).to_be_hidden()
    expect(page).to_have_title(re.compile("^✓ m answers"))
    a.stop()  # its events have the numbers that the first one's had
    wait_headline(page, "No answers from m")
    expect(page.locator("#incidents .incident")).to_contain_text("a went down", timeout=15000)


def test_requests_that_fail_are_told_though_a_backend_looks_well(llm, gateway, open_page):
    a = llm("a", chat=lambda q, w: w.reply(501, {"error": {"message": "no"}}))
    gw = gateway(config=config({"a": ("vllm", a.url)}, {"m": [["a"]]}))
    gw.wait_probed("a")
    page = open_page(gw)
    assert headline(page) == "m answers"
    assert gw.chat().status >= 500
    wait_until(lambda: gw.request("GET", "/status?trend=1", admin=True).json["models"][0]["trend"]["total"]["failed"],
               10, "the failure is sampled")
    page.reload()
    wait_headline(page, "Requests fail: m")
    expect(page.locator("#answers")).to_contain_text("1 of 1 request failed in the last 90 s")


# --- acting ---


def test_a_backend_is_drained_by_keyboard_after_a_question(pair, open_page, keep_picture):
    gw, _, _ = pair
    page = open_page(gw)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Drain a":
            break
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Drain a?")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("It gets no new requests.")
    expect(dialog).to_contain_text("m: answers then come from b (tier 2 of 2).")
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    keep_picture(page, "drain", whole=False)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Drain a"
    assert gw.backend("a")["operator"] is None
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Drain a"
    page.keyboard.press("Enter")
    expect(page.locator("#backends tbody tr", has_text="Draining")).to_have_count(1)
    assert gw.backend("a")["operator"] == "draining"
    assert gw.chat().backend == "b"
    expect(page.locator("#broken")).to_contain_text("a: Taken out by an operator; running answers end")
    page.wait_for_function("() => document.activeElement.dataset.backend === 'a'")
    page.get_by_role("button", name="Enable a").click()
    page.get_by_role("dialog").get_by_role("button", name="Enable a").click()
    expect(page.locator("#backends tbody tr", has_text="Draining")).to_have_count(0)
    assert gw.backend("a")["operator"] is None
    expect(page.locator("#incidents")).to_contain_text("by the operator")


def test_the_question_says_whom_an_action_leaves_without_answers(pair, open_page):
    gw, _, b = pair
    b.stop()
    gw.wait_state("b", "DOWN")
    page = open_page(gw)
    page.get_by_role("button", name="Disable a").click()
    expect(page.get_by_role("dialog")).to_contain_text("m: nobody else can serve it now.")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_action_that_is_refused_says_why(pair, open_page):
    gw, _, _ = pair

    def refuse(route: Route) -> None:
        route.fulfill(status=409, json={"error": {"message": "a is managed elsewhere"}})
    page = open_page(gw, routes={"**/backends/*/*": refuse})
    page.seen.may_lose = True
    page.get_by_role("button", name="Drain a").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain a").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("That did not work: a is managed elsewhere.")
    expect(page.get_by_role("dialog")).to_be_visible()


# --- names from outside ---


def with_markup(route: Route) -> None:
    """Lets the gateway answer, with names that no configuration may have."""
    answer = route.fetch()
    name = json.dumps(EVIL)
    body = answer.text().replace('"a"', name).replace('"m"', name).replace('"a went', name[:-1] + " went")
    route.fulfill(response=answer, body=body)


def test_markup_in_names_is_text(pair, open_page):
    gw, a, _ = pair
    a.stop()
    gw.wait_state("a", "DOWN")
    page = open_page(gw, routes={"**/status*": with_markup, re.compile("/events[?](?!stream)"): with_markup})
    expect(page.locator("#incidents .incident")).to_contain_text(EVIL)
    for part in ("#answers", "#broken", "#backends"):
        expect(page.locator(part)).to_contain_text(EVIL)
    page.locator("#incidents summary").first.click()
    expect(page.locator("#incidents .story li").first).to_contain_text(EVIL)
    page.get_by_role("button", name=f"Drain {EVIL}").click()
    expect(page.get_by_role("dialog")).to_contain_text(EVIL)
    assert page.locator("img").count() == 1  # the page's own
    assert "fallback" in page.title()


# --- for everybody ---


CONTRAST = """() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (el) => { for (let at = el; at; at = at.parentElement) {
    const c = parse(getComputedStyle(at).backgroundColor); if (c.a > 0.99) return c; } return { r: 255, g: 255, b: 255 }; };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !el.checkVisibility() || el.closest(".unseen, .skip, noscript")) continue;
    const [a, b] = [light(parse(getComputedStyle(el).color)), light(ground(el))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim()}`);
  }
  return poor;
}"""


def test_text_can_be_read_in_both_themes(pair, open_page):
    gw, a, _ = pair
    a.stop()
    gw.wait_state("a", "DOWN")
    page = open_page(gw)
    page.locator("#incidents summary").first.click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRAST) == []


def test_a_screen_reader_finds_its_way(pair, open_page):
    gw, a, _ = pair
    a.stop()
    gw.wait_state("a", "DOWN")
    page = open_page(gw)
    page.locator("#incidents .incident").wait_for()
    tree = page.locator("main").aria_snapshot()
    for line in ('- heading "m answers from a fallback tier" [level=1]', '- heading "Can users get answers?" [level=2]',
                 '- list "Tiers of m"', '- columnheader "First token, p50 / p99"', '- rowheader "a vllm"',
                 '- button "Drain a"', '- searchbox "Filter"', 'img "The last seven days'):
        assert line in tree, tree
    nameless = page.evaluate("""[...document.querySelectorAll("button, a[href], input, summary")]
        .filter((e) => e.checkVisibility() && !(e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim()))
        .map((e) => e.outerHTML)""")
    assert nameless == []
    assert page.evaluate("document.documentElement.lang") == "en"
    for state in page.locator(".state:visible").all():
        assert state.inner_text().strip()  # a word beside each shape


def test_long_names_do_not_break_a_phone(llm, gateway, open_page):
    a = llm("a")
    long = "a-backend-in-the-rack-beside-the-door-of-the-second-floor"
    gw = gateway(config=config({long: ("vllm", a.url)}, {f"{long}-model": [[long]]}))
    gw.wait_probed(long)
    page = open_page(gw, viewport={"width": 320, "height": 640})
    assert width_over(page) <= 0
