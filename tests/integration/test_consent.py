"""Consent from the first page to the operator's outcome: a real API server, a real OAuth server, TLS, and people."""

from typing import Any

from support.consenting import state_of
from support.gateway import page_text


def test_a_person_consents_and_the_operator_gets_a_code_that_works(team: Any) -> None:
    visitor = team.visitor()
    first = visitor.get(team.page_url())
    assert first.status_code == 200, page_text(first)
    page = team.approved(visitor)
    assert "ada approved this browser" in page_text(page)
    sent = visitor.press(page, "Continue to Acme CRM")
    assert sent.status_code == 303
    back = visitor.at_provider(sent.headers["Location"], name=team.person, password="correct horse")
    assert state_of(back) == state_of(sent.headers["Location"])
    answer = visitor.get(back)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/connect/{team.name}/crm"), page_text(answer)
    assert "Finishing" in page_text(visitor.get(team.page_url()))
    team.spend(account=team.person)
    assert f"It now works as {team.person}." in page_text(visitor.get(team.page_url()))
