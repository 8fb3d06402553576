import hashlib
import logging
from typing import Any

import pytest

from lanyard.flows.tally import TEXTS, Tally, audit
from lanyard.sensitive import Sensitive


@pytest.mark.spec("K8")
def test_what_was_counted_is_shown_by_labels() -> None:
    tally = Tally()
    tally.count("lanyard_token_requests", "password", "issued")
    tally.count("lanyard_token_requests", "password", "issued")
    tally.count("lanyard_token_request_seconds", "password", by=0.25)
    families = tally.families()
    assert families["lanyard_token_requests"][1:] == (("method", "outcome"), {("password", "issued"): 2.0})
    assert families["lanyard_token_request_seconds"][2] == {("password",): 0.25}


@pytest.mark.spec("K8")
def test_every_counter_has_a_text() -> None:
    assert Tally().families().keys() == TEXTS.keys()
    assert all(text.endswith(".") and labels for text, labels in TEXTS.values())


def test_an_unknown_counter_is_a_fault() -> None:
    with pytest.raises(KeyError):
        Tally().count("lanyard_something_else")


@pytest.mark.spec("K8", "C8")
def test_the_audit_log_shows_a_token_by_its_digest_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lanyard.audit"):
        audit("token request", "issued", object_name="Connection/sales/crm", uid="u", token=Sensitive("t"), host="h")
    line: dict[str, Any] = vars(caplog.records[0])
    shown = {name: line[name] for name in ("action", "outcome", "object", "uid", "host", "token_sha256")}
    assert shown == {
        "action": "token request",
        "outcome": "issued",
        "object": "Connection/sales/crm",
        "uid": "u",
        "host": "h",
        "token_sha256": hashlib.sha256(b"t").hexdigest(),
    }
    assert "token" not in line


@pytest.mark.spec("K8")
def test_an_audit_line_without_a_token_has_no_digest(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lanyard.audit"):
        audit("resolve", "resolved", object_name="o", uid="u")
    assert "token_sha256" not in vars(caplog.records[0])
