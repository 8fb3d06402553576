"""Our pages in a real browser, on a phone and on a desk, held to axe-core's rules."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from localenv.browser import FLAGS, chromium
from localenv.tools import axe

SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 900}}
WITHIN = 15_000


@contextmanager
def a_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(chromium()), args=list(FLAGS))
        yield started
        started.close()


def context_of(browser: Browser, size: str, **more: Any) -> BrowserContext:
    """Certificates of the environment's own authority are taken; the tests with the HTTP client verify them."""
    context = browser.new_context(
        viewport=SIZES[size], is_mobile=size == "phone", ignore_https_errors=True, bypass_csp=False, **more
    )
    context.set_default_timeout(WITHIN)
    return context


def problems(page: Page) -> list[str]:
    """What axe-core finds. The script runs in the page's isolated world, so its policy stays as strict as it is."""
    session = page.context.new_cdp_session(page)
    frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
    world = session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})["executionContextId"]
    session.send("Runtime.evaluate", {"expression": axe().read_text(), "contextId": world})
    found = session.send(
        "Runtime.evaluate",
        {
            "expression": "axe.run(document).then(r => JSON.stringify(r.violations.map("
            "v => v.id + ': ' + v.nodes.map(n => n.target.join(' ')).join(', '))))",
            "contextId": world,
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    assert "exceptionDetails" not in found, found
    listed: list[str] = json.loads(found["result"]["value"])
    return listed


def assert_accessible(page: Page) -> None:
    assert problems(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), "it fits"
