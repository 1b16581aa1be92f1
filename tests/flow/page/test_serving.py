"""How the page and its figures are served: headers, tags, who may have what."""

from __future__ import annotations

import re

import pytest
from gateway import wait_until
from page_scenes import config, headline, wait_headline
from playwright.sync_api import expect

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


@pytest.fixture
def gw(llm, gateway):
    return gateway(llm("a"), llm("b"))


def get(gw, path: str, method: str = "GET", **headers: str):
    return gw.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}, admin=True)


def test_the_page_and_its_files_have_a_strict_policy(gw):
    page = get(gw, "/")
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    files = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.body.decode())
    assert len(files) >= 3
    for path in ["/", *files]:
        answer = get(gw, path)
        assert answer.status == 200, path
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-cache"
        assert int(answer.headers["content-length"]) == len(answer.body)


def test_nothing_in_the_page_is_inline_or_from_elsewhere(gw):
    text = get(gw, "/").body.decode()
    assert "<style" not in text and " style=" not in text and " on" + "click=" not in text
    assert re.findall(r"<script(?![^>]* src=)", text) == []
    assert "http" not in text.replace("http-equiv", "")


def test_a_file_that_is_known_is_not_sent_again(gw):
    first = get(gw, "/assets/app.js")
    again = get(gw, "/assets/app.js", if_none_match=first.headers["etag"])
    assert again.status == 304 and again.body == b"" and again.headers["etag"] == first.headers["etag"]
    assert get(gw, "/assets/app.js", if_none_match='"other"').status == 200
    assert get(gw, "/assets/style.css").headers["etag"] != first.headers["etag"]


def test_what_is_not_there_is_404_and_head_has_no_body(gw):
    for path in ("/assets/none.js", "/assets/", "/index.html"):
        assert get(gw, path).status == 404
    head = get(gw, "/", method="HEAD")
    assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) > 500


def test_another_host_name_gets_not_even_the_page(gw):
    assert get(gw, "/", host="evil.example").status == 403


def test_status_tells_who_serves_since_when_and_the_last_hour(gw):
    for _ in range(4):
        assert gw.chat().status == 200
    plain = gw.status()
    assert "trend" not in plain["models"][0]
    assert plain["models"][0]["serving"]["tier"] == 1 and plain["models"][0]["serving"]["backends"] == ["a"]
    trend = wait_until(lambda: (t := get(gw, "/status?trend=1").json["models"][0]["trend"])["total"]["requests"] == 4 and t,
                       10, "the requests are sampled")
    assert trend["slot_s"] == 30
    assert sum(trend["requests"]) == 4 and sum(trend["failed"]) == 0 and trend["total"]["tokens"] > 0
    assert trend["first_token_p50_ms"][-1] >= 1
    assert len({len(v) for v in trend.values() if isinstance(v, list)}) == 1


def test_since_is_the_moment_when_the_tier_changed(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    first = wait_until(lambda: (s := gw.status()["models"][0]["serving"])["for_s"] > 0.3 and s, 10, "it serves for a while")
    assert first["tier"] == 1
    a.stop()
    gw.wait_state("a", "DOWN")
    down = gw.status()["models"][0]["serving"]
    assert down["tier"] == 2 and down["backends"] == ["b"] and down["since"] > first["since"]
    later = wait_until(lambda: (s := gw.status()["models"][0]["serving"])["for_s"] > 0.3 and s, 10, "that lasts")
    assert later["tier"] == 2
    b.stop()
    gw.wait_state("b", "DOWN")
    gone = gw.status()["models"][0]["serving"]
    assert gone["tier"] is None and gone["backends"] == []


# --- with a token ---

TOKEN = "let-me-in"


@pytest.fixture
def guarded(llm, gateway):
    a = llm("a")
    return gateway(config=config({"a": ("vllm", a.url)}, {"m": [["a"]]}, f"admin_token: {TOKEN}"))


def test_the_page_is_shown_to_all_and_its_figures_to_those_with_the_token(guarded):
    assert get(guarded, "/").status == 200
    assert get(guarded, "/assets/app.js").status == 200
    for path in ("/status", "/events", "/metrics", "/assets/none.js", "/none"):
        assert get(guarded, path).status == 401
    assert get(guarded, "/", method="POST").status == 405
    assert get(guarded, "/status", authorization=f"Bearer {TOKEN}").status == 200


def test_the_page_asks_for_the_token_and_remembers_it(guarded, open_page, keep_picture):
    page = open_page(guarded, wait="#door:not([hidden])")
    page.seen.may_lose = True  # 401 is on the console
    assert headline(page) == "Who asks?"
    assert page.evaluate("document.activeElement.id") == "token"
    keep_picture(page, "token")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="That is not its token.")).to_be_visible()
    assert page.locator("#sections").is_hidden()
    page.get_by_role("textbox", name="Admin token").fill(TOKEN)
    page.get_by_role("button", name="Show the status").click()
    wait_headline(page, "m answers")
    expect(page.locator("#incidents .deed")).to_contain_text("The gateway started")
    page.reload()
    wait_headline(page, "m answers")
    assert TOKEN not in page.url
    page.get_by_role("button", name="forget the token").click()
    expect(page.locator("#door")).to_be_visible()
    page.reload()
    expect(page.locator("#door")).to_be_visible()


def test_the_page_follows_events_with_the_token(llm, gateway, open_page):
    a = llm("a")
    gw = gateway(config=config({"a": ("vllm", a.url)}, {"m": [["a"]]}, f"admin_token: {TOKEN}"))
    page = open_page(gw, wait="#door:not([hidden])")
    page.seen.may_lose = True
    page.get_by_role("textbox", name="Admin token").fill(TOKEN)
    page.keyboard.press("Enter")
    wait_headline(page, "m answers")
    a.stop()
    wait_headline(page, "No answers from m")
    expect(page.locator("#incidents .incident")).to_contain_text("a went down")
