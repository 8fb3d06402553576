"""The test provider's authorization-code side: what Lanyard's own tests rely on when a person consents."""

from typing import Any

import httpx
import pytest

from support.consenting import PASSWORD, Team
from support.gateway import query_of


def code_for(team: Team) -> dict[str, str]:
    """A form that exchanges a fresh code."""
    visitor = team.visitor()
    visitor.get(team.answered(visitor))
    consent = team.read_record().consent
    assert consent is not None
    assert consent.code is not None
    assert consent.code_verifier is not None
    return {
        "grant_type": "authorization_code",
        "code": consent.code.reveal(),
        "redirect_uri": consent.redirect_uri,
        "code_verifier": consent.code_verifier.reveal(),
    }


def ask(team: Team, **form: str) -> httpx.Response:
    return team.visitor().client.post(team.oauth.token_url, data=form, auth=(team.name, f"secret-of-{team.name}"))


def refreshed(team: Team, token: str) -> httpx.Response:
    return ask(team, grant_type="refresh_token", refresh_token=token)


def test_a_code_works_once_and_its_second_use_ends_the_grant(team: Team) -> None:
    form = code_for(team)
    first = ask(team, **form).json()
    assert team.oauth.me(first["access_token"]).json()["sub"] == team.person
    assert set(first["scope"].split()) == {"api", "more"}
    assert ask(team, **form).json()["error"] == "invalid_grant"
    assert team.oauth.me(first["access_token"]).status_code == 401


@pytest.mark.parametrize(
    "change",
    [{"code_verifier": "w" * 43}, {"code_verifier": ""}, {"redirect_uri": "https://localhost/other"}],
    ids=["another verifier", "no verifier", "another redirect URI"],
)
def test_a_code_is_bound_to_what_was_asked(team: Team, change: dict[str, str]) -> None:
    form = {name: value for name, value in (code_for(team) | change).items() if value}
    assert ask(team, **form).json()["error"] in {"invalid_grant", "invalid_request"}


def test_a_rotated_refresh_token_that_comes_again_ends_the_grant(team: Team) -> None:
    first = ask(team, **code_for(team)).json()["refresh_token"]
    second = refreshed(team, first).json()["refresh_token"]
    assert first != second
    assert refreshed(team, first).json()["error"] == "invalid_grant"
    assert refreshed(team, second).json()["error"] == "invalid_grant"


def test_without_rotation_a_refresh_token_stays(team: Team) -> None:
    team.oauth.change_client(team.name, rotate_refresh_tokens=False)
    first = ask(team, **code_for(team)).json()["refresh_token"]
    for _ in range(2):
        answer = refreshed(team, first).json()
        assert answer.get("refresh_token", first) == first
        assert team.oauth.me(answer["access_token"]).status_code == 200


def test_pkce_can_be_left_out_where_the_client_may(team: Team) -> None:
    team.oauth.change_client(team.name, pkce_required=False)
    name = team.bent(pkce="off", pkceOffReason="for this test")
    visitor = team.visitor()
    back = team.answered(visitor, name)
    assert "code" in query_of(back)


def test_a_wrong_password_lets_nobody_in(team: Team) -> None:
    visitor = team.visitor()
    page = visitor.get(team.sent(visitor), follow_redirects=True)
    answer = visitor.press(page, "Sign in", name=team.person, password=f"not {PASSWORD}")
    assert "That is not right" in answer.text


def test_an_unknown_redirect_uri_is_not_redirected_to(team: Team, oauth: Any) -> None:
    visitor = team.visitor()
    url = httpx.URL(team.sent(visitor)).copy_set_param("redirect_uri", "https://evil.example/")
    answer = visitor.get(str(url))
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert oauth.issuer in str(url)
