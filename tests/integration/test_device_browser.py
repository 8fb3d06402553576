"""The pages of a consent by device code in a real browser: the code is read there and typed in somewhere else."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browsing import SIZES, WITHIN, a_browser, assert_accessible, context_of
from support.consenting import Team
from support.device_consenting import ARCHIVE, DeviceTeam

pytestmark = pytest.mark.spec("C4", "C5")


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Any:
    return gateway_process().start()


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], gateway: Any) -> Any:
    return operator_process(gateway_url=gateway.url).start()


@pytest.fixture
def device(cluster: Any, environment: Any, gateway: Any, operator: Any) -> Iterator[DeviceTeam]:
    team = Team(cluster, environment, gateway)
    made = DeviceTeam(team)
    yield made
    made.close()
    team.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as started:
        yield started


def approved(device: DeviceTeam, page: Page) -> None:
    page.goto(device.url)
    shown = page.locator("pre.command").inner_text()
    answer = device.team.approve(shown.partition("lanyard.dev/consent=")[2].partition(".")[0], name=ARCHIVE)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("size", SIZES)
def test_a_person_reads_a_code_and_enters_it_on_another_page(device: DeviceTeam, browser: Browser, size: str) -> None:
    context = context_of(browser, size)
    page = context.new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(f"{message.location['url']}: {message.text}"))
    approved(device, page)
    button = page.get_by_role("button", name="Get a code for Acme Archive")
    expect(button).to_be_visible(timeout=WITHIN)
    assert_accessible(page)

    button.click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("Enter your code at", timeout=WITHIN)
    code = page.get_by_role("group", name="Your code")
    link = page.locator("a.button")
    assert_accessible(page)
    assert page.url == device.url, "no code in the address"
    code.focus()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Your code", "a keyboard reaches it"

    address = link.get_attribute("href")
    assert address is not None
    device.answer(code.inner_text(), address)
    # Nobody reloads: the page hears of it by itself.
    expect(heading).to_have_text("Connected", timeout=3 * WITHIN)
    expect(page.get_by_role("status")).to_contain_text(device.team.person)
    assert_accessible(page)
    assert [message for message in messages if message.startswith(device.team.gateway.url)] == []
    context.close()


def test_a_code_can_be_read_without_scripts_and_in_the_dark(device: DeviceTeam, browser: Browser) -> None:
    context = context_of(browser, "phone", java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    approved(device, page)
    page.get_by_role("button", name="Get a code for Acme Archive").click(timeout=WITHIN)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Enter your code at", timeout=WITHIN)
    expect(page.get_by_role("group", name="Your code")).to_be_visible()
    context.close()
