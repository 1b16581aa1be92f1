"""The status page in a real browser. `open_page(gw)` shows it; every page is judged at the end of its
test: no error on the console, nothing that the policy had to stop, nothing asked of anybody else."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from gateway import Gateway
from page_scenes import DESK
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARTEFACTS = pathlib.Path(os.environ.get("ARTEFACTS") or pathlib.Path(__file__).parents[3] / "build-check" / "artefacts")


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@dataclass
class Seen:
    """What a page did that nobody sees."""

    origin: str
    may_lose: bool = False  # requests fail in this test
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def judge(self) -> None:
        lost = ("net::ERR_", "Failed to load resource")
        errors = [e for e in self.errors if not (self.may_lose and any(word in e for word in lost))]
        assert not errors, errors
        assert not self.foreign, self.foreign
        assert not self.violations, self.violations


WATCH_POLICY = """document.addEventListener("securitypolicyviolation",
    (e) => window.tellViolation(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));"""


def watch(page: Page, origin: str) -> Seen:
    seen = Seen(origin)
    page.expose_function("tellViolation", lambda text: seen.violations.append(text))
    page.add_init_script(WATCH_POLICY)
    page.on("console", lambda m: m.type in ("error", "warning") and seen.errors.append(m.text))
    page.on("pageerror", lambda e: seen.errors.append(str(e)))
    page.on("request", lambda r: r.url.startswith((origin, "data:")) or seen.foreign.append(r.url))
    return seen


@pytest.fixture
def open_page(browser: Browser):
    """open_page(gw, viewport=PHONE, dark=True, routes={pattern: handler}) → page; `page.seen` is what it did."""
    made: list[tuple[BrowserContext, Seen]] = []

    def make(gw: Gateway, viewport: dict | None = None, dark: bool = False, wait: str = "#sections:not([hidden])",
             routes: dict[str | re.Pattern, Callable] | None = None, **options) -> Page:
        context = browser.new_context(viewport=viewport or DESK, color_scheme="dark" if dark else "light",
                                      reduced_motion="reduce", locale="en-GB", timezone_id="UTC", **options)
        context.set_default_timeout(10000)
        page = context.new_page()
        page.seen = watch(page, gw.admin_url + "/")
        made.append((context, page.seen))
        for pattern, handler in (routes or {}).items():
            page.route(pattern, handler)
        page.goto(gw.admin_url + "/")
        page.wait_for_selector(wait)
        return page

    yield make
    for context, seen in made:
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")
        context.close()
        seen.judge()


@pytest.fixture(scope="session")
def keep_picture():
    """keep_picture(page, name) keeps a picture of the page as an artefact, or of what the window shows."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str, whole: bool = True) -> None:
        page.screenshot(path=ARTEFACTS / f"page-{name}.png", full_page=whole)

    return keep
