from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lanyard.api.meta import LabelSelector, NamespaceGrant, SecretKeyRef, parse_duration


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("1h0m1s", timedelta(seconds=3601)),
        ("0s", timedelta(0)),
        ("999999h", timedelta(hours=999_999)),
    ],
)
def test_a_duration_is_hours_minutes_and_seconds(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "1.5h", "-5m", "5 m", "5m ", "5M", "30m1h", "1d", "٣m", "9999999h", "9" * 4000 + "h", "1h\n"],
)
def test_anything_else_is_no_duration_and_is_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a duration such as 1h30m$"):
        parse_duration(text)


@given(st.integers(0, 999_999), st.integers(0, 999_999), st.integers(0, 999_999))
def test_every_duration_that_can_be_written_can_be_read(hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == expected


def selector(operator: str, *values: str, key: str = "team") -> LabelSelector:
    return LabelSelector.model_validate(
        {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}
    )


LABELS = {"team": "sales", "stage": "prod"}


@pytest.mark.spec("A9", "A11")
@pytest.mark.parametrize(
    ("chosen", "matches"),
    [
        (LabelSelector(), True),
        (LabelSelector(match_labels={"team": "sales"}), True),
        (LabelSelector(match_labels={"team": "hr"}), False),
        (LabelSelector(match_labels={"team": "sales", "stage": "prod"}), True),
        (LabelSelector(match_labels={"team": "sales", "stage": "test"}), False),
        (selector("In", "sales", "hr"), True),
        (selector("In", "hr"), False),
        (selector("In", "x", key="absent"), False),
        (selector("NotIn", "hr"), True),
        (selector("NotIn", "sales"), False),
        (selector("NotIn", "x", key="absent"), True),
        (selector("Exists"), True),
        (selector("Exists", key="absent"), False),
        (selector("DoesNotExist"), False),
        (selector("DoesNotExist", key="absent"), True),
        (
            LabelSelector.model_validate(
                {"matchLabels": {"team": "sales"}, "matchExpressions": [{"key": "stage", "operator": "DoesNotExist"}]}
            ),
            False,
        ),
    ],
    ids=[
        "an empty selector matches everything",
        "an equal label",
        "another value",
        "all labels hold",
        "one label does not hold",
        "in the list",
        "not in the list",
        "an absent label is in no list",
        "not in the list of refused",
        "in the list of refused",
        "an absent label is not refused",
        "it exists",
        "it does not exist",
        "it should not exist",
        "it does not exist, as asked",
        "labels and expressions hold together or not at all",
    ],
)
def test_a_selector_reads_labels_as_kubernetes_does(chosen: LabelSelector, matches: bool) -> None:
    assert chosen.matches(LABELS) is matches


@pytest.mark.spec("A9", "A11")
@pytest.mark.parametrize(
    ("grant", "admits"),
    [
        (NamespaceGrant(), False),
        (NamespaceGrant(names=["shop"]), True),
        (NamespaceGrant(names=["hr"]), False),
        (NamespaceGrant(selector=LabelSelector()), True),
        (NamespaceGrant(selector=LabelSelector(match_labels={"team": "sales"})), True),
        (NamespaceGrant(names=["hr"], selector=LabelSelector(match_labels={"team": "hr"})), False),
        (NamespaceGrant(names=["hr"], selector=LabelSelector()), True),
    ],
    ids=[
        "an empty grant admits nobody",
        "by name",
        "another name",
        "an empty selector admits everybody",
        "by label",
        "neither name nor label",
        "either suffices",
    ],
)
def test_a_grant_admits_by_name_or_by_label(grant: NamespaceGrant, admits: bool) -> None:
    assert grant.admits("shop", LABELS) is admits


@pytest.mark.spec("A9", "A11")
@pytest.mark.parametrize(
    "chosen",
    [LabelSelector(), selector("NotIn", "hr"), selector("DoesNotExist")],
    ids=["the empty one", "NotIn", "DoesNotExist"],
)
def test_a_namespace_whose_labels_are_not_known_fits_no_selector(chosen: LabelSelector) -> None:
    assert not NamespaceGrant(selector=chosen).admits("shop", None)
    assert NamespaceGrant(names=["shop"], selector=chosen).admits("shop", None)


def test_models_are_camel_case_on_the_wire_and_frozen() -> None:
    chosen = LabelSelector.model_validate({"matchLabels": {"a": "b"}})
    assert chosen.model_dump(by_alias=True) == {"matchLabels": {"a": "b"}, "matchExpressions": []}
    with pytest.raises(ValidationError, match="frozen"):
        chosen.match_labels = {}


@pytest.mark.parametrize("name", ["", "Crm", "crm_app", "-crm", "crm-", "a/b", "..", "a" * 254, "crm\n"])
def test_a_name_that_kubernetes_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        SecretKeyRef(name=name, key="password", namespace=None)


@pytest.mark.parametrize("key", ["", "a/b", "a b", "ü", "a" * 254])
def test_a_key_that_kubernetes_would_not_take_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        SecretKeyRef(name="crm", key=key, namespace=None)
