"""Counters of what the flows did, and the audit log. Plain integers; `entry` turns them into metrics."""

import hashlib
import logging
from collections import defaultdict
from dataclasses import dataclass, field

from lanyard.sensitive import Sensitive

_audit = logging.getLogger("lanyard.audit")

Family = tuple[str, tuple[str, ...], dict[tuple[str, ...], float]]

TEXTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lanyard_token_requests": ("Requests to token endpoints.", ("method", "outcome")),
    "lanyard_token_request_seconds": ("Time spent waiting for token endpoints.", ("method",)),
    "lanyard_credential_resolutions": ("Secret values looked up.", ("store", "outcome")),
    "lanyard_publications": ("Writes of workload Secrets.", ("outcome",)),
    "lanyard_token_copies": ("Copies of access tokens for the gateway.", ("outcome",)),
    "lanyard_verifications": ("Questions to products whether what is published works.", ("outcome",)),
    "lanyard_issuer_fetches": ("Fetches of issuers' keys.", ("outcome",)),
    "lanyard_reconciles": ("Passes over objects.", ("kind", "decision")),
    "lanyard_exchanges": ("JWTs that were shown to a gateway.", ("dialect", "outcome")),
    "lanyard_watch_events": ("Events handed over by the watch.", ("kind",)),
}


@dataclass(slots=True)
class Tally:
    """Counters by name and labels. Names are those of TEXTS, so that every one is documented."""

    counts: dict[str, dict[tuple[str, ...], float]] = field(
        default_factory=lambda: {name: defaultdict(float) for name in TEXTS}
    )

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        self.counts[name][labels] += by

    def families(self) -> dict[str, Family]:
        return {name: (text, labels, self.counts[name]) for name, (text, labels) in TEXTS.items()}


def audit(
    action: str, outcome: str, *, object_name: str, uid: str, token: Sensitive | None = None, **fields: str
) -> None:
    """One line per token fetched or handed out, credential resolved or Secret published; empty fields are left out.

    A token appears as its SHA-256 only.
    """
    line = {"action": action, "outcome": outcome, "object": object_name, "uid": uid}
    line |= {name: value for name, value in fields.items() if value}
    if token is not None:
        line["token_sha256"] = hashlib.sha256(token.reveal().encode()).hexdigest()
    _audit.info("audit", extra=line)
