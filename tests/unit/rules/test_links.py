"""Every decision about a link as a sentence, and what its status says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.errors import PublishError, SpecError
from lanyard.reasons import Condition, Reason
from lanyard.rules.lifecycle import PublishedFacts
from lanyard.rules.links import (
    Copy,
    Keep,
    LinkDecision,
    LinkFacts,
    LinkView,
    Place,
    Source,
    TakeBack,
    decide,
    link_status,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
UNREADABLE = SpecError(Reason.INVALID_SPEC, field="secret", kind="connection")

SOURCE = Source(uid="u1", is_link=False, admits=True, ready=True, marker="s1/7", expires_at=NOW + HOUR)
SILENT = replace(SOURCE, marker="", ready=False)
NAMESAKE = replace(SOURCE, uid="u2", marker="s2/9")

IN_ORDER = LinkFacts(
    place=Place("shared", "crm"),
    source=SOURCE,
    suspended=False,
    problem=None,
    published=PublishedFacts(intact=True),
    carries="u1/s1/7",
    expires_at=NOW + HOUR,
)
NEW = {"published": None, "carries": "", "expires_at": None}
FAILING = {"carries": "u1/s1/6", "tried": "u1/s1/7", "retry_at": NOW + MINUTE}
DAMAGED = {"published": PublishedFacts(intact=False)}

SENTENCES: dict[str, tuple[dict[str, Any], LinkDecision | Reason]] = {
    "what is up to date is left alone": ({}, Keep()),
    "a new link copies what is there": (NEW, Copy(SOURCE)),
    "a new version of the source is copied": ({"carries": "u1/s1/6"}, Copy(SOURCE)),
    "our Secret that was deleted is written again": ({"published": None}, Copy(SOURCE)),
    "our Secret that was edited is written again": (DAMAGED, Copy(SOURCE)),
    "edits in quick succession are mended later": (DAMAGED | {"repairs_from": NOW + MINUTE}, Keep(NOW + MINUTE)),
    "a new version is never put off": (DAMAGED | {"carries": "u1/s1/6", "repairs_from": NOW + MINUTE}, Copy(SOURCE)),
    "a source that is not ready is followed all the same": (
        {"source": replace(SOURCE, ready=False), "carries": "u1/s1/6"},
        Copy(replace(SOURCE, ready=False)),
    ),
    "a new link waits for what is not there yet": (NEW | {"source": SILENT}, Keep()),
    "what is here stays while the source's Secret is being mended": ({"source": SILENT}, Keep()),
    "a back-off is slept through": (FAILING, Keep(NOW + MINUTE)),
    "a back-off that is over ends in a new attempt": (FAILING | {"retry_at": NOW}, Copy(SOURCE)),
    "a new version beats a back-off": (FAILING | {"tried": "u1/s1/6"}, Copy(SOURCE)),
    "a name that became free beats a back-off": (FAILING | {"nudged": True}, Copy(SOURCE)),
    "a suspended link does nothing": ({"suspended": True, "carries": "u1/s1/6"}, Keep()),
    "a link that cannot be read does nothing": ({"problem": UNREADABLE, "carries": "u1/s1/6"}, Keep()),
    "a source that is gone takes its Secret with it": ({"source": None}, Reason.LINK_TARGET_NOT_FOUND),
    "a source that was never there has nothing here": (NEW | {"source": None}, Reason.LINK_TARGET_NOT_FOUND),
    "a permission that is withdrawn takes the Secret with it": (
        {"source": replace(SOURCE, admits=False)},
        Reason.LINK_NOT_ALLOWED,
    ),
    "a suspended link is taken back all the same": (
        {"source": replace(SOURCE, admits=False), "suspended": True},
        Reason.LINK_NOT_ALLOWED,
    ),
    "a link that cannot be read is taken back all the same": (
        {"source": None, "problem": UNREADABLE},
        Reason.LINK_TARGET_NOT_FOUND,
    ),
    "a link to a link has nothing": ({"source": replace(SOURCE, is_link=True)}, Reason.LINK_TO_LINK),
    "what a namesake left is replaced by what is there now": ({"source": NAMESAKE}, Copy(NAMESAKE)),
    "what a namesake left goes before the new one has anything": (
        {"source": replace(NAMESAKE, marker="")},
        Reason.LINK_TARGET_NOT_READY,
    ),
    "what a namesake left goes although the link is suspended": (
        {"source": NAMESAKE, "suspended": True},
        Reason.LINK_TARGET_NOT_READY,
    ),
    "what a namesake left goes although the new one's cannot be written": (
        {"source": NAMESAKE, "tried": NAMESAKE.origin, "retry_at": NOW + MINUTE},
        Reason.LINK_TARGET_NOT_READY,
    ),
    "what nobody noted the origin of goes when it cannot be replaced": (
        {"source": SILENT, "carries": ""},
        Reason.LINK_TARGET_NOT_READY,
    ),
}


@pytest.mark.spec("C13")
@pytest.mark.parametrize(("changes", "expected"), SENTENCES.values(), ids=SENTENCES.keys())
def test_a_link_is_decided(changes: dict[str, Any], expected: LinkDecision | Reason) -> None:
    decision = decide(replace(IN_ORDER, **changes), NOW)
    if isinstance(expected, Reason):
        assert isinstance(decision, TakeBack)
        assert decision.error.reason is expected
    else:
        assert decision == expected


SOURCES = st.none() | st.builds(
    Source,
    uid=st.sampled_from(["u1", "u2"]),
    is_link=st.booleans(),
    admits=st.booleans(),
    ready=st.booleans(),
    marker=st.sampled_from(["", "s1/7", "s1/8"]),
    expires_at=st.none() | st.just(NOW + HOUR),
)
FACTS = st.builds(
    LinkFacts,
    place=st.just(Place("shared", "crm")),
    source=SOURCES,
    suspended=st.booleans(),
    problem=st.none() | st.just(UNREADABLE),
    published=st.none() | st.builds(PublishedFacts, intact=st.booleans()),
    carries=st.sampled_from(["", "u1/s1/7", "u2/s1/7", "u1/s1/6"]),
    expires_at=st.none() | st.just(NOW + HOUR),
    tried=st.sampled_from(["", "u1/s1/7"]),
    retry_at=st.none() | st.just(NOW + MINUTE),
    nudged=st.booleans(),
    repairs_from=st.none() | st.just(NOW + MINUTE),
)


@pytest.mark.spec("C13", "C8")
@given(FACTS)
def test_without_permission_nothing_is_copied_and_nothing_stays(facts: LinkFacts) -> None:
    decision, source = decide(facts, NOW), facts.source
    if source is None or not source.admits or source.is_link:
        assert isinstance(decision, TakeBack)
    if isinstance(decision, Copy):
        assert decision.source == source
        assert decision.source.marker, "only what is known as what was written"
    if isinstance(decision, Keep) and facts.published is not None and source is not None:
        assert facts.carries.startswith(f"{source.uid}/"), "of another Connection"


VIEW = LinkView(
    place=Place("shared", "crm"),
    generation=3,
    secret="crm-token",
    suspended=False,
    source=SOURCE,
    problem=None,
    failure=None,
    published_version="41",
    intact=True,
    carries="u1/s1/7",
    expires_at=NOW + HOUR,
    failed_attempts=0,
    next_at=None,
)
GONE = {"published_version": None, "intact": False, "expires_at": None}
REFUSED = PublishError(Reason.SECRET_REFUSED, secret="crm-token", status=403)
TAKEN = PublishError(Reason.SECRET_CONFLICT, secret="crm-token")
UNFIT = replace(SOURCE, ready=False)

TOLD: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "in order": (
        {},
        {"Ready": "Linked", "SpecValid": "Valid", "CredentialsResolved": "Resolved", "SecretPublished": "Published"},
    ),
    "its source has nothing yet": (
        GONE | {"source": SILENT},
        {
            "Ready": "!LinkTargetNotReady",
            "Reconciling": "LinkTargetNotReady",
            "SpecValid": "Valid",
            "CredentialsResolved": "!LinkTargetNotReady",
        },
    ),
    "its source says that the token works no more": (
        {"source": UNFIT},
        {
            "Ready": "!LinkTargetNotReady",
            "Reconciling": "LinkTargetNotReady",
            "SpecValid": "Valid",
            "CredentialsResolved": "!LinkTargetNotReady",
            "SecretPublished": "Published",
        },
    ),
    "the source's Secret is being mended while the token here lives": (
        {"source": SILENT},
        {"Ready": "Linked", "SpecValid": "Valid", "CredentialsResolved": "Resolved", "SecretPublished": "Published"},
    ),
    "what is here has expired and nothing newer came": (
        {"source": SILENT, "expires_at": NOW},
        {
            "Ready": "!LinkTargetNotReady",
            "Reconciling": "LinkTargetNotReady",
            "SpecValid": "Valid",
            "CredentialsResolved": "!LinkTargetNotReady",
            "SecretPublished": "Published",
        },
    ),
    "a newer token cannot be written while the older one lives": (
        {"carries": "u1/s1/6", "failure": REFUSED},
        {
            "Ready": "Linked",
            "SpecValid": "Valid",
            "CredentialsResolved": "Resolved",
            "SecretPublished": "!SecretRefused",
        },
    ),
    "its name is taken": (
        GONE | {"failure": TAKEN},
        {
            "Ready": "!SecretConflict",
            "Stalled": "SecretConflict",
            "SpecValid": "Valid",
            "CredentialsResolved": "Resolved",
            "SecretPublished": "!SecretConflict",
        },
    ),
    "our Secret is damaged and about to be mended": (
        {"intact": False},
        {"Ready": "!Acquiring", "Reconciling": "Acquiring", "SpecValid": "Valid", "CredentialsResolved": "Resolved"},
    ),
    "suspended before anything came": (
        GONE | {"source": SILENT, "suspended": True},
        {"Ready": "!Suspended", "SpecValid": "Valid"},
    ),
    "not allowed": (
        GONE | {"problem": SpecError(Reason.LINK_NOT_ALLOWED, name="crm", namespace="shared")},
        {
            "Ready": "!LinkNotAllowed",
            "Stalled": "LinkNotAllowed",
            "SpecValid": "Valid",
            "CredentialsResolved": "!LinkNotAllowed",
        },
    ),
    "not allowed, and what is here cannot be deleted": (
        {"problem": SpecError(Reason.LINK_NOT_ALLOWED, name="crm", namespace="shared"), "failure": REFUSED},
        {
            "Ready": "!LinkNotAllowed",
            "Stalled": "LinkNotAllowed",
            "SpecValid": "Valid",
            "CredentialsResolved": "!LinkNotAllowed",
            "SecretPublished": "!SecretRefused",
        },
    ),
    "its source is gone": (
        GONE | {"source": None, "problem": SpecError(Reason.LINK_TARGET_NOT_FOUND, name="crm", namespace="shared")},
        {
            "Ready": "!LinkTargetNotFound",
            "Reconciling": "LinkTargetNotFound",
            "SpecValid": "Valid",
            "CredentialsResolved": "!LinkTargetNotFound",
        },
    ),
    "a link to a link": (
        GONE | {"problem": SpecError(Reason.LINK_TO_LINK, name="crm", namespace="shared")},
        {
            "Ready": "!LinkToLink",
            "Stalled": "LinkToLink",
            "SpecValid": "!LinkToLink",
            "CredentialsResolved": "Resolved",
        },
    ),
}


@pytest.mark.spec("C13", "K2")
@pytest.mark.parametrize(("changes", "told"), TOLD.values(), ids=TOLD.keys())
def test_a_link_tells(changes: dict[str, Any], told: dict[str, str]) -> None:
    status, _ = link_status({}, replace(VIEW, **changes), NOW)
    said = {one["type"]: ("" if one["status"] == "True" else "!") + one["reason"] for one in status["conditions"]}
    assert said == told


def test_a_link_in_order_notes_what_it_carries_and_when_that_expires() -> None:
    status, verdicts = link_status({}, VIEW, NOW)
    assert {name: value for name, value in status.items() if name != "conditions"} == {
        "observedGeneration": 3,
        "failedAttempts": 0,
        "inputsDigest": "u1/s1/7",
        "expiresAt": "2026-03-01T13:00:00Z",
        "publishedVersion": "41",
        "binding": {"name": "crm-token"},
    }
    ready = next(one for one in verdicts if one.type is Condition.READY)
    assert ready.message == "The Secret crm-token carries what the Connection crm in shared publishes."


def test_a_version_that_is_not_ours_is_never_noted_as_ours() -> None:
    status, _ = link_status({"publishedVersion": "41"}, replace(VIEW, published_version="42", intact=False), NOW)
    assert status["publishedVersion"] == "41"


def test_what_was_taken_back_leaves_no_trace_in_the_status() -> None:
    before, _ = link_status({}, VIEW, NOW)
    problem = SpecError(Reason.LINK_NOT_ALLOWED, name="crm", namespace="shared")
    status, _ = link_status(before, replace(VIEW, problem=problem, **GONE), NOW)
    assert status.keys() == {"observedGeneration", "failedAttempts", "conditions"}
