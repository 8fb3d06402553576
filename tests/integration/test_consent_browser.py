"""The consent pages in a real browser, on a phone and on a desk, held to axe-core's rules."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browsing import SIZES, WITHIN, a_browser, assert_accessible, context_of
from support.cluster import Cluster
from support.consenting import PASSWORD, Team

pytestmark = pytest.mark.spec("C4")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as started:
        yield started


@pytest.fixture(params=SIZES)
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = context_of(browser, request.param)
    yield context.new_page()
    context.close()


def picture(page: Page, name: str) -> None:
    """Into build/; README's picture of the consent page is made from it."""
    (ROOT / "build").mkdir(exist_ok=True)
    page.screenshot(path=ROOT / "build" / name, full_page=True)


def approve_what_is_shown(team: Team, page: Page) -> None:
    shown = page.locator("pre.command").inner_text()
    answer = team.approve(shown.partition("lanyard.dev/consent=")[2].partition(".")[0])
    assert answer.status_code == 200, answer.text


def sign_in(team: Team, page: Page, *, agree: bool = True) -> None:
    page.get_by_label("Name").fill(team.person)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Allow" if agree else "Decline").click()


def test_a_person_connects_an_account(team: Team, page: Page, request: pytest.FixtureRequest) -> None:
    size = request.node.callspec.params["page"]
    messages: list[str] = []
    page.on("console", lambda message: messages.append(f"{message.location['url']}: {message.text}"))
    page.goto(team.page_url())
    expect(page.get_by_role("heading", level=1)).to_have_text("Approve this browser")
    assert_accessible(page)
    picture(page, f"approve-{size}.png")

    approve_what_is_shown(team, page)
    # Nobody reloads: the page looks for the approval by itself.
    button = page.get_by_role("button", name="Continue to Acme CRM")
    expect(button).to_be_visible(timeout=WITHIN)
    expect(page.get_by_text("approved this browser")).to_contain_text("ada")
    assert_accessible(page)
    picture(page, f"consent-{size}.png")

    button.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    sign_in(team, page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Almost there")
    assert page.url == team.page_url(), "no code and no state in the address"
    assert_accessible(page)

    team.spend(account=team.person)
    expect(page.get_by_role("heading", level=1)).to_have_text("Connected", timeout=WITHIN)
    expect(page.get_by_role("status")).to_contain_text(f"It now works as {team.person}.")
    assert_accessible(page)
    picture(page, f"connected-{size}.png")
    ours = [message for message in messages if message.startswith(team.gateway.url)]
    assert ours == [], "the browser had nothing to complain about"


def test_somebody_who_declines_is_told_so_and_may_begin_again(team: Team, page: Page) -> None:
    page.goto(team.page_url())
    approve_what_is_shown(team, page)
    page.get_by_role("button", name="Continue to Acme CRM").click()
    sign_in(team, page, agree=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("Access was declined")
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.title() == "Access was declined · Lanyard"
    assert_accessible(page)
    page.get_by_role("button", name="Authorize again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Approve this browser")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_trouble_can_be_read_in_any_light(team: Team, browser: Browser, scheme: str) -> None:
    context = context_of(browser, "phone", color_scheme=scheme)
    page = context.new_page()
    for url in (
        team.page_url("no-such"),
        f"{team.gateway.url}/oauth/callback/{team.name}?code=c&state=s",
        f"{team.gateway.url}/nothing",
        team.page_url(),
    ):
        page.goto(url)
        assert_accessible(page)
    context.close()


def test_the_whole_page_works_from_the_keyboard(team: Team, browser: Browser) -> None:
    context = context_of(browser, "desk", reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{team.page_url()}?wait=off")
    expect(page.get_by_role("link", name="Check again")).to_be_visible()
    approve_what_is_shown(team, page)
    for _ in range(20):
        page.get_by_role("link", name="Check again").press("Enter")
        if page.get_by_role("button", name="Continue to").count():
            break
        page.wait_for_load_state()
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.tagName + getComputedStyle(document.activeElement).outlineStyle")
    assert focused == "BUTTONsolid", "where the focus is can be seen"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()


def test_the_pages_work_without_scripts(team: Team, browser: Browser) -> None:
    context = context_of(browser, "phone", java_script_enabled=False)
    page = context.new_page()
    page.goto(team.page_url())
    approve_what_is_shown(team, page)
    page.get_by_role("button", name="Continue to Acme CRM").click()
    sign_in(team, page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Almost there")
    context.close()


def test_no_other_site_can_show_a_page_in_a_frame(team: Team, browser: Browser, tmp_path: Path) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(f'<iframe src="{team.page_url()}"></iframe>')
    context = context_of(browser, "desk")
    page = context.new_page()
    page.goto(frame.as_uri())
    inner = page.frame_locator("iframe").get_by_role("heading", level=1)
    assert inner.count() == 0
    context.close()


def test_the_picture_of_the_readme_is_this_page(
    kubernetes: Any, environment: Any, gateway: Any, browser: Browser
) -> None:
    """build/consent.png; with PICTURES=1 it becomes docs/consent.png."""
    with kubernetes.client() as client:
        client.post("/api/v1/namespaces", json={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sales"}})
        team = Team(Cluster(client, "sales"), environment, gateway)
        auth = {"expectedAccount": "crm-bot@acme.com", "scopes": ["api", "refresh_token"]}
        team.connect(displayName="Sales CRM", auth=auth)
        context = context_of(browser, "desk")
        page = context.new_page()
        team.until(lambda: page.goto(team.page_url()), lambda answer: answer is not None and answer.status == 200)
        approve_what_is_shown(team, page)
        expect(page.get_by_role("button", name="Continue to Acme CRM")).to_be_visible(timeout=WITHIN)
        expect(page.get_by_text("crm-bot@acme.com")).to_be_visible()
        picture(page, "consent.png")
        context.close()
        team.close()
        client.delete("/api/v1/namespaces/sales")
    if os.environ.get("PICTURES"):
        shutil.copy(ROOT / "build" / "consent.png", ROOT / "docs" / "consent.png")
    assert (ROOT / "docs" / "consent.png").exists()
