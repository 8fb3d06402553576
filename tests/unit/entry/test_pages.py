import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.entry.pages.consent import approved_page, code_page, command_of, ended_page, unapproved_page, underway_page
from lanyard.entry.pages.layout import STYLE, Page
from lanyard.entry.pages.markup import text
from lanyard.entry.pages.scopes import in_words
from lanyard.entry.pages.troubles import away_page, bad_request_page, busy_page, fault_page, no_page, trouble_page
from lanyard.flows.standing import Approved, Coded, Details, Ended, Trouble, Unapproved, Underway
from lanyard.reasons import Reason
from lanyard.rules.consent import Browser, Outcome, Phase
from lanyard.sensitive import Sensitive

pytestmark = pytest.mark.spec("C4")

BROWSER = Browser(Sensitive("s" * 43), "uid", "sales/crm", datetime(2026, 11, 25, tzinfo=UTC))


CODED = Coded(BROWSER, "WDJB-MJHT", "https://login.acme.example/device", datetime(2026, 11, 25, 12, 34, tzinfo=UTC))


def details(**changes: Any) -> Details:
    facts = {"display_name": "Sales", "product": "Acme", "provider_host": "acme.example", "expected_account": ""}
    return Details(owner="sales/crm", scopes=("api", "files.read", "mail:send", "odd"), **(facts | changes))


def ended(reason: str = "", account: str = "", error: str = "") -> Page:
    return ended_page(Ended(BROWSER, Outcome(reason, account) if reason else None, error, "bot@acme.com"))


PAGES = {
    "to be approved": unapproved_page(Unapproved(BROWSER), still=False),
    "to be approved, at rest": unapproved_page(Unapproved(BROWSER), still=True),
    "approved": approved_page(Approved(BROWSER, details(), "ada")),
    "approved by device code": approved_page(Approved(BROWSER, details(by_device=True), "ada")),
    "code wanted": underway_page(Underway(BROWSER, Phase.REQUESTED), still=False),
    "code shown": code_page(CODED, still=False),
    "code shown, at rest": code_page(CODED, still=True),
    "sent": underway_page(Underway(BROWSER, Phase.STARTED), still=False),
    "answered": underway_page(Underway(BROWSER, Phase.ANSWERED), still=False),
    "connected": ended(Reason.AUTHORIZED.value, "bot@acme.com"),
    "connected without a name": ended(Reason.AUTHORIZED.value),
    "wrong account": ended(Reason.ACCOUNT_MISMATCH.value, "me@acme.com"),
    "nobody named": ended(Reason.ACCOUNT_UNKNOWN.value),
    "declined": ended(error="denied"),
    "refused": ended(error="refused"),
    "lost": ended(Reason.AUTHORIZATION_LOST.value),
    "failed": ended(Reason.CLIENT_REJECTED.value),
    **{trouble.value: trouble_page(trouble, "sales/crm") for trouble in Trouble},
    "no page": no_page(),
    "bad request": bad_request_page(),
    "busy": busy_page(7),
    "away": away_page(),
    "fault": fault_page(),
}


class Outline(HTMLParser):
    """Tags opened and closed, and their attributes."""

    VOID = ("meta", "link", "input", "path", "rect")

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.html().removeprefix("<!doctype html>"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.seen)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_says_one_thing(name: str) -> None:
    outline = Outline(PAGES[name])
    assert [outline.count(tag) for tag in ("h1", "main", "title", "header", "footer")] == [1] * 5
    assert ("html", {"lang": "en"}) in outline.seen


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_from_elsewhere_and_runs_nothing(name: str) -> None:
    outline = Outline(PAGES[name])
    assert outline.count("script") == outline.count("img") == outline.count("iframe") == 0
    for tag, attributes in outline.seen:
        assert not [one for one in attributes if one.startswith("on") or one == "style"], tag
        for link in ("href", "src", "action"):
            assert (attributes.get(link) or "/").startswith("/") or attributes.get(link) == CODED.page


@pytest.mark.parametrize("name", PAGES)
def test_only_the_page_with_a_code_leads_to_the_provider_and_tells_it_nothing(name: str) -> None:
    away = [attributes for tag, attributes in Outline(PAGES[name]).seen if attributes.get("href") == CODED.page]
    assert [(one["target"], one["rel"]) for one in away] == [("_blank", "noreferrer")] * name.startswith("code shown")


def test_the_page_with_a_code_says_where_and_until_when() -> None:
    html = PAGES["code shown"].html()
    for said in ("WDJB-MJHT", "https://login.acme.example/device", "12:34 UTC"):
        assert said in html


def test_the_style_sheet_needs_nothing_from_elsewhere() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_a_next_step_or_nothing_to_do(name: str) -> None:
    html = PAGES[name].html()
    assert len(re.findall(r"<p[ >]", html)) >= 2


def test_every_trouble_has_a_page_of_its_own() -> None:
    titles = [trouble_page(trouble, "sales/crm").title for trouble in Trouble]
    assert len(set(titles)) == len(Trouble) or {"That took too long"} == {t for t in titles if titles.count(t) > 1}


@given(st.text(max_size=60))
def test_what_people_write_stays_text(value: str) -> None:
    page = approved_page(Approved(BROWSER, details(product=value, display_name=value, expected_account=value), value))
    plain = approved_page(Approved(BROWSER, details(display_name="x", expected_account="x"), "x"))
    assert [tag for tag, _ in Outline(page).seen][:20] == [tag for tag, _ in Outline(plain).seen][:20]


@given(st.text())
def test_escaped_text_has_no_marks_of_html_and_no_hidden_ones(value: str) -> None:
    seen = text(value)
    assert not set("<>\"'") & set(seen)
    assert all(letter.isprintable() for letter in seen)


def test_only_the_page_with_the_button_lets_its_form_leave() -> None:
    assert [name for name, page in PAGES.items() if page.forms_leave] == ["approved"]


def test_only_pages_that_wait_load_themselves_again() -> None:
    assert {name for name, page in PAGES.items() if page.refresh} == {
        "to be approved",
        "answered",
        "code wanted",
        "code shown",
    }


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("openid", "Know that it is you"),
        ("refresh_token", "Stay connected while you are away, until you take it back"),
        ("files.read", "Read what this permission covers"),
        ("https://www.googleapis.com/auth/drive.readonly", "Read what this permission covers"),
        ("mail:send", "Read and change what this permission covers"),
        ("crm.objects.contacts.write", "Read and change what this permission covers"),
        ("spreadsheet", "Use what this permission covers"),
    ],
)
def test_scopes_are_told_in_words_that_promise_nothing_false(scope: str, words: str) -> None:
    assert in_words(scope) == words


def test_the_command_is_one_line_with_the_hash_before_the_approvers_own_name() -> None:
    line = command_of("sales/crm", "0" * 40)
    assert "\n" not in line
    assert line.startswith(f"kubectl annotate connection crm -n sales --overwrite lanyard.dev/consent={'0' * 40}.")
    assert "kubectl auth whoami" in line
