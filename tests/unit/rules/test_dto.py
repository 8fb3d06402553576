"""The reference's JSON and the custom resource, in both directions."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.api.dto import REFUSALS, ReadCredential, Refusal, WrittenCredential, problem
from lanyard.api.federation import FederatedCredentialSpec
from lanyard.rules.dto import (
    change,
    displaced,
    is_issuer,
    merged,
    new_object,
    read_credential,
    reversal,
    tag_matches,
    updated_at,
    version_tag,
)
from lanyard.rules.trust import Credential, Verdict, credential_of
from support.issuer_names import REFUSED, TAKEN

CREATED = "2026-03-01T12:00:00Z"
ISSUER = "https://token.actions.githubusercontent.com"
plain = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
written = st.builds(
    WrittenCredential,
    name=words,
    description=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=512),
    issuer=plain,
    audience=plain,
    subject=plain,
)


def shown(spec: dict[str, Any], **facts: Any) -> ReadCredential:
    given = {"uid": "u-1", "client_id": "c-1", "name": "fedcred-1", "created_at": CREATED, "updated_at": CREATED}
    return read_credential(**(given | facts), spec=spec)


@pytest.mark.spec("F10")
def test_every_member_of_the_reference_is_always_there() -> None:
    spec = {"connectionRef": {"name": "crm"}, "issuer": ISSUER, "audience": "a", "subject": "s"}
    assert shown(spec).model_dump(by_alias=True) == {
        "id": "u-1",
        "clientId": "c-1",
        "name": "fedcred-1",
        "description": None,
        "issuer": ISSUER,
        "audience": "a",
        "subject": "s",
        "createdAt": CREATED,
        "updatedAt": CREATED,
    }


@pytest.mark.spec("F4")
@given(written)
def test_what_was_written_is_what_is_read(one: WrittenCredential) -> None:
    spec = new_object(one, namespace="sales", name="fc-1", connection="crm")["spec"]
    seen = shown(spec)
    assert (seen.name, seen.description) == (one.name, one.description)
    assert (seen.issuer, seen.audience, seen.subject) == (one.issuer, one.audience, one.subject)


@given(written)
def test_what_people_write_is_not_in_the_name_of_the_object(one: WrittenCredential) -> None:
    made = new_object(one, namespace="sales", name="fc-1", connection="crm")
    assert made["metadata"] == {"name": "fc-1", "namespace": "sales"}
    assert made["spec"]["connectionRef"] == {"name": "crm"}


EXTRAS = {
    "connectionRef": {"name": "crm"},
    "claims": [{"claim": "repository_owner_id", "equals": "9919"}],
    "scopes": ["api"],
    "jwks": '{"keys": []}',
    "suspend": True,
    "replay": "SingleUse",
    "expiresAt": "2027-01-31T00:00:00Z",
}


@pytest.mark.spec("F6")
@given(written)
def test_a_replacement_keeps_what_the_reference_does_not_know(one: WrittenCredential) -> None:
    before = EXTRAS | {"displayName": "old", "description": "old", "issuer": ISSUER, "audience": "a", "subject": "s"}
    after = merged(before, change(one))
    assert {name: after[name] for name in EXTRAS} == EXTRAS
    assert ("description" in after) is (one.description is not None)
    FederatedCredentialSpec.model_validate(after)


@given(written, written)
def test_a_replacement_that_is_taken_back_leaves_nothing_behind(
    first: WrittenCredential, one: WrittenCredential
) -> None:
    before = new_object(first, namespace="sales", name="fc-1", connection="crm")["spec"] | EXTRAS
    assert merged(merged(before, change(one)), reversal(before, one)) == before


def entry(time: str | None, **more: str) -> dict[str, Any]:
    return {"manager": "m", "operation": "Update", "fieldsV1": {}} | ({"time": time} if time else {}) | more


@pytest.mark.spec("F10")
@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], CREATED),
        (None, CREATED),
        ([entry("2026-03-01T12:00:05Z")], "2026-03-01T12:00:05Z"),
        ([entry("2026-03-02T00:00:00Z"), entry("2026-03-01T13:00:00Z")], "2026-03-02T00:00:00Z"),
        ([entry("2026-03-01T12:00:05Z"), entry("2026-04-01T00:00:00Z", subresource="status")], "2026-03-01T12:00:05Z"),
        ([entry("2026-04-01T00:00:00Z", subresource="status")], CREATED),
        ([entry(None)], CREATED),
    ],
    ids=[
        "nobody wrote since", "no entries at all", "one writer", "the newest of two writers",
        "a status counts for nothing", "only a status", "a writer without a time",
    ],
)  # fmt: skip
def test_the_last_update_is_the_newest_write_but_of_the_status(entries: list[Any] | None, expected: str) -> None:
    assert updated_at({"creationTimestamp": CREATED, "managedFields": entries}) == expected


@pytest.mark.spec("F2", "F5")
@pytest.mark.parametrize("issuer", TAKEN)
def test_an_issuer_that_the_kind_takes_is_taken(issuer: str) -> None:
    assert is_issuer(issuer)


@pytest.mark.spec("F2", "F5")
@pytest.mark.parametrize("issuer", REFUSED)
def test_an_issuer_that_the_kind_refuses_is_refused(issuer: str) -> None:
    assert not is_issuer(issuer)


def made(number: int, name: str = "", *, second: int | None = None) -> Credential:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=number if second is None else second)
    metadata = {"namespace": "sales", "name": f"fc-{number}", "uid": f"u-{number:03}",
                "creationTimestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ")}  # fmt: skip
    spec = {"connectionRef": {"name": "crm"}, "displayName": name or f"n-{number}", "issuer": ISSUER, "audience": "a",
            "subject": "s"}  # fmt: skip
    return credential_of(metadata, FederatedCredentialSpec.model_validate(spec), "")


@pytest.mark.spec("F3", "F5")
@pytest.mark.parametrize(
    ("siblings", "mine", "expected"),
    [
        ([], made(1), None),
        ([made(n) for n in range(19)], made(19), None),
        ([made(n) for n in range(20)], made(20), Verdict.LIMIT_EXCEEDED),
        ([made(1, "same")], made(2, "same"), Verdict.DUPLICATE_NAME),
        ([made(1, "Same")], made(2, "same"), None),
        ([made(2, "same")], made(1, "same"), Verdict.DUPLICATE_NAME),
        ([made(n, second=0) for n in range(1, 21)], made(0, second=0), Verdict.LIMIT_EXCEEDED),
        ([made(n) for n in range(20)], made(3), None),
        ([made(n) for n in range(20)], made(3, "n-7"), Verdict.DUPLICATE_NAME),
        ([made(n) for n in range(20)], made(7, "n-3"), Verdict.DUPLICATE_NAME),
        ([made(n) for n in range(21)], made(20), None),
        ([made(n) for n in range(21)], made(20, "n-1"), Verdict.DUPLICATE_NAME),
    ],
    ids=[
        "the first one", "the 20th", "the 21st", "a name that another one has", "a name in other letters",
        "older than the one that has the name", "made in the same second and before by its uid",
        "itself, changed but for its name", "renamed to an older one's name", "renamed to a younger one's name",
        "one that did not count before", "one that did not count, renamed to a name that is taken",
    ],
)  # fmt: skip
def test_who_comes_takes_neither_name_nor_place_from_another(
    siblings: list[Credential], mine: Credential, expected: Verdict | None
) -> None:
    assert displaced(siblings, mine) is expected


def test_a_tag_changes_with_generation_and_with_other_writes() -> None:
    assert len({version_tag(1, CREATED), version_tag(2, CREATED), version_tag(2, "2026-03-01T12:00:01Z")}) == 3
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', version_tag(3, CREATED)), "RFC 9110 8.8.3"


@pytest.mark.parametrize(
    ("if_match", "expected"),
    [('"1-2"', True), ("*", True), ('"0-0", "1-2"', True), (' "1-2" ', True), ('W/"1-2"', False), ('"1-3"', False),
     ("1-2", False), ("", False)],
)  # fmt: skip
def test_a_condition_holds_for_this_very_tag(if_match: str, expected: bool) -> None:
    assert tag_matches(if_match, '"1-2"') is expected


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_has_a_status_and_one_line_for_people(refusal: Refusal) -> None:
    told = problem(refusal)
    assert told.reason is refusal
    assert 400 <= told.status < 600
    assert told.title
    assert told.detail.endswith(".")
    assert len(told.detail) <= 256
    assert REFUSALS.keys() == set(Refusal)
