import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.rules.grants import Grant, Intent
from lanyard.sensitive import Sensitive
from lanyard.stores.grant_format import grant_text, intent_text, read_grant, read_intent

NOW = datetime(2026, 11, 25, 12, 0, 0, 123456, tzinfo=UTC)

zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
moments = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=zones)  # noqa: DTZ001 - zones are drawn
texts = st.text(max_size=30)
tokens = texts.map(Sensitive)
mappings = st.dictionaries(texts, texts, max_size=3)
grants = st.builds(
    Grant,
    generation=st.integers(1, 10**9),
    access_token=tokens,
    token_type=texts,
    refresh_token=st.none() | tokens,
    issued_at=moments,
    expires_at=st.none() | moments,
    refresh_expires_at=st.none() | moments,
    scopes=st.lists(texts, max_size=4).map(tuple),
    account=texts,
    client_id=texts,
    redirect_uri=texts,
    token_host=texts,
    consented_at=moments,
    captured=mappings,
    learned=mappings,
    rotated=st.booleans(),
    previous_refresh_token=st.none() | tokens,
)
GRANT = Grant(
    generation=3,
    access_token=Sensitive("at"),
    token_type="Bearer",
    refresh_token=Sensitive("rt"),
    issued_at=NOW,
    expires_at=NOW + timedelta(hours=1),
    refresh_expires_at=None,
    scopes=("api",),
    account="crm-bot@acme.com",
    client_id="app",
    redirect_uri="https://lanyard.example/oauth/callback/crm",
    token_host="login.example.com",
    consented_at=NOW,
    captured={"instance_url": "https://acme.example"},
)


def document(grant: Grant = GRANT, **changed: Any) -> bytes:
    whole = json.loads(grant_text(grant)) | changed
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


@given(grants)
def test_a_grant_is_read_as_it_was_written(grant: Grant) -> None:
    assert read_grant(grant_text(grant)) == (grant, None)


def test_every_field_of_a_grant_is_written() -> None:
    assert len(json.loads(grant_text(GRANT))) == len(fields(Grant)) + 1


def test_what_a_newer_version_stored_is_carried_along() -> None:
    grant, unread = read_grant(document(binding={"dpop": "k"}, audience=["a"]))
    assert grant == GRANT
    again = json.loads(grant_text(replace(grant, generation=4), unread))
    assert again["binding"] == {"dpop": "k"}
    assert again["audience"] == ["a"]
    assert again["generation"] == 4
    assert "dpop" not in repr(unread)


def test_a_member_that_was_not_known_when_a_grant_was_stored_has_its_default() -> None:
    older = document(learned=..., rotated=..., previousRefreshToken=...)
    assert read_grant(older) == (GRANT, None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(document(format=2), id="a later format"),
        pytest.param(document(format=...), id="no format"),
        pytest.param(document(accessToken=...), id="no access token"),
        pytest.param(document(issuedAt="soon"), id="a moment that is none"),
        pytest.param(document(issuedAt="2026-11-25T12:00:00"), id="a moment without its zone"),
        pytest.param(document(issuedAt=5), id="a moment that is a number"),
    ],
)
def test_what_is_no_grant_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a grant of a format that this version knows$"):
        read_grant(text)


@given(st.builds(Intent, texts, st.integers(1, 10**9), texts, moments, moments))
def test_an_intent_is_read_as_it_was_written(intent: Intent) -> None:
    assert read_intent(intent_text(intent)) == intent


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"id":"a"}'])
def test_what_is_no_intent_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not an intent$"):
        read_intent(text)
