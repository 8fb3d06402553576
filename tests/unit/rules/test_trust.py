"""Which credentials count, and which of them a JWT is from: sentences, and an index that is right whatever happened."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.api.federation import FederatedCredentialSpec
from lanyard.rules.trust import LONG_AGO, Credential, TrustIndex, Verdict, credential_of, judge

pytestmark = pytest.mark.spec("F3")

ISSUER = "https://issuer.example"
SPEC = {"connectionRef": {"name": "crm"}, "issuer": ISSUER, "audience": "lanyard", "subject": "repo:acme/crm"}
METADATA = {
    "namespace": "sales",
    "name": "github",
    "uid": "u00",
    "creationTimestamp": "2026-11-25T12:00:00Z",
    "generation": 3,
}


def made(**members: Any) -> Credential:
    return credential_of(METADATA, FederatedCredentialSpec.model_validate(SPEC | members), "issuer-abc")


ONE = made()


def aged(minute: int, **members: Any) -> Credential:
    """Created so many minutes after noon, under a name of its own."""
    own = {"uid": f"u{minute:02}", "created_at": f"2026-11-25T12:{minute:02}:00Z", "display_name": f"name {minute}"}
    return replace(ONE, **(own | members))


def indexed(*credentials: Credential) -> TrustIndex:
    index = TrustIndex()
    for one in credentials:
        index.put(one)
    return index


def test_a_credential_is_what_the_object_says() -> None:
    expected = Credential(
        namespace="sales",
        name="github",
        uid="u00",
        created_at="2026-11-25T12:00:00Z",
        generation=3,
        connection="crm",
        display_name="github",
        issuer=ISSUER,
        audience="lanyard",
        subject="repo:acme/crm",
        rules=(),
        scopes=(),
        expires_at=None,
        suspended=False,
        single_use=False,
        keys="issuer-abc",
        jwks="",
    )
    assert expected == ONE


def test_inline_keys_take_the_place_of_a_key_set() -> None:
    assert (made(jwks="{}").keys, made(jwks="{}").jwks) == ("", "{}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2027-01-31T00:00:00Z", datetime(2027, 1, 31, tzinfo=UTC), id="a moment"),
        pytest.param("2027-01-31T00:00:00.123456789Z", datetime(2027, 1, 31, 0, 0, 0, 123456, UTC), id="to the nano"),
        pytest.param("2027-01-31T01:00:00+01:00", datetime(2027, 1, 31, tzinfo=UTC), id="of another zone"),
        pytest.param("soon", LONG_AGO, id="what cannot be read is over"),
        pytest.param("2027-01-31T00:00:00", LONG_AGO, id="what has no zone is over"),
    ],
)
def test_an_expiry(text: str, expected: datetime) -> None:
    assert made(expiresAt=text).expires_at == expected


def test_the_oldest_twenty_count() -> None:
    verdicts = judge(aged(minute) for minute in reversed(range(22)))
    assert [uid for uid, verdict in verdicts.items() if verdict is Verdict.LIMIT_EXCEEDED] == ["u20", "u21"]


def test_of_two_that_were_created_in_the_same_second_the_lower_uid_counts() -> None:
    twins = [replace(ONE, uid=uid) for uid in ("b", "a")]
    assert judge(twins) == {"a": Verdict.COUNTS, "b": Verdict.DUPLICATE_NAME}


def test_a_later_one_of_the_same_name_does_not_count_and_takes_no_place() -> None:
    named_alike = [aged(minute, display_name="name 0") for minute in (1, 2)]
    verdicts = judge([aged(0), *named_alike, *map(aged, range(3, 23))])
    assert [uid for uid in verdicts if verdicts[uid] is Verdict.DUPLICATE_NAME] == ["u01", "u02"]
    assert [uid for uid in verdicts if verdicts[uid] is Verdict.LIMIT_EXCEEDED] == ["u22"]


def test_when_an_older_one_goes_the_next_gets_its_place_and_its_name() -> None:
    late, namesake = aged(20), aged(30, display_name="name 3")
    index = indexed(*map(aged, range(20)), late, namesake)
    wanted = ("sales", "crm", ISSUER, ONE.subject, ["lanyard"])
    assert late not in index.match(*wanted)
    index.drop("u07")
    assert index.match(*wanted)[-1] == late
    index.drop("u03")
    assert index.match(*wanted)[-1] == namesake


@pytest.mark.spec("F2")
@pytest.mark.parametrize(
    ("differing", "field"),
    [
        pytest.param({"issuer": f"{ISSUER}/"}, "issuer", id="a slash at the end is another issuer"),
        pytest.param({"subject": "Repo:acme/crm"}, "subject", id="case counts in a subject"),
        pytest.param({"audience": "lanyard2"}, "audience", id="another audience"),
    ],
)
def test_a_jwt_that_differs_in_one_field_is_not_matched_and_the_field_is_known(
    differing: dict[str, str], field: str
) -> None:
    index, other = indexed(ONE), replace(ONE, **differing)
    presented = (other.issuer, other.subject, [other.audience])
    assert index.match("sales", "crm", *presented) == ()
    assert index.nearest("sales", "crm", *presented) == (ONE, field)


def test_one_of_several_audiences_is_enough() -> None:
    assert indexed(ONE).match("sales", "crm", ISSUER, ONE.subject, ["x", "lanyard"]) == (ONE,)


def test_nothing_is_near_that_differs_twice_or_belongs_to_another_application() -> None:
    index = indexed(ONE)
    assert index.nearest("sales", "crm", ISSUER, "x", ["y"]) is None
    assert index.nearest("sales", "other", ISSUER, ONE.subject, ["y"]) is None


def test_of_several_that_are_near_the_one_with_another_audience_is_named() -> None:
    likely = aged(5, audience="other")
    index = indexed(aged(1, subject="x"), likely)
    assert index.nearest("sales", "crm", ISSUER, ONE.subject, ["lanyard"]) == (likely, "audience")


def test_every_application_that_trusts_a_jwt_is_found() -> None:
    index = indexed(ONE, aged(1, connection="erp"), aged(2, namespace="other"), aged(3, connection="x", subject="x"))
    found = index.applications(ISSUER, ONE.subject, ["lanyard", "lanyard"])
    assert found == {("sales", "crm"), ("sales", "erp"), ("other", "crm")}


def test_an_edit_replaces_what_was_trusted_before() -> None:
    index = indexed(ONE, edited := replace(ONE, subject="x", generation=4))
    assert len(index) == 1
    assert index.applications(ISSUER, ONE.subject, ["lanyard"]) == frozenset()
    assert index.match("sales", "crm", ISSUER, "x", ["lanyard"]) == (edited,)


# Few of each, so that names, places and trusts meet; more than twenty of an application are well within reach.
CREDENTIALS = st.builds(
    lambda uid, minute, connection, name, subject, audience: aged(
        minute,
        uid=f"u{uid}",
        connection=connection,
        display_name=f"name {name}",
        subject=subject,
        audience=audience,
    ),
    st.integers(0, 39),
    st.integers(0, 3),
    st.sampled_from(["crm", "crm", "crm", "erp"]),
    st.integers(0, 30),
    st.sampled_from(["s1", "s2"]),
    st.sampled_from(["a1", "a2"]),
)
STEPS = st.lists(st.one_of(CREDENTIALS, CREDENTIALS, st.integers(0, 39).map(lambda uid: f"u{uid}")), max_size=80)


@given(STEPS)
def test_the_index_is_what_a_fresh_judgement_says_whatever_happened(steps: list[Credential | str]) -> None:
    index, known = TrustIndex(), dict[str, Credential]()
    for step in steps:
        if isinstance(step, str):
            index.drop(step)
            known.pop(step, None)
        else:
            index.put(step)
            known[step.uid] = step
    assert len(index) == len(known)
    by_age = sorted(known.values(), key=lambda one: (one.created_at, one.uid))
    for connection in ("crm", "erp"):
        siblings = [one for one in by_age if one.connection == connection]
        verdicts = judge(siblings)
        assert index.of("sales", connection) == tuple(siblings)
        for subject in ("s1", "s2"):
            for audiences in (["a1"], ["a2"], ["a1", "a2"], []):
                matched = index.match("sales", connection, ISSUER, subject, audiences)
                assert matched == tuple(
                    one
                    for one in siblings
                    if verdicts[one.uid] is Verdict.COUNTS and one.subject == subject and one.audience in audiences
                )
                trusting = index.applications(ISSUER, subject, audiences)
                assert (("sales", connection) in trusting) is bool(matched)


@given(st.data(), st.lists(CREDENTIALS, max_size=40, unique_by=lambda one: one.uid))
def test_a_judgement_does_not_depend_on_the_order(data: st.DataObject, siblings: list[Credential]) -> None:
    shuffled = data.draw(st.permutations(siblings))
    assert judge(shuffled) == judge(siblings)


@given(st.lists(CREDENTIALS, max_size=40, unique_by=lambda one: one.uid))
def test_never_more_than_twenty_count_and_never_two_of_one_name(siblings: list[Credential]) -> None:
    verdicts = judge(siblings)
    counting = [one.display_name for one in siblings if verdicts[one.uid] is Verdict.COUNTS]
    assert len(counting) == len(set(counting)) == min(20, len({one.display_name for one in siblings}))


def test_an_index_that_was_emptied_holds_nothing() -> None:
    index = indexed(*map(aged, range(25)))
    for minute in range(25):
        index.drop(f"u{minute:02}")
    index.drop("u00")
    assert len(index) == 0
    assert index.of("sales", "crm") == ()
    assert index.nearest("sales", "crm", ISSUER, ONE.subject, ["x"]) is None
