"""`docs/reasons.md`: every reason a condition can carry."""

from docsgen.markdown import head, table, template
from lanyard.reason_texts import CATALOGUE, Entry
from lanyard.reasons import Condition, Reason, Retry

INTRODUCTION = """
# Reasons

Every condition of every object of Lanyard carries one of these words. The message names what is wrong, the hint what
to do next. `kubectl describe` shows them, so do `kubectl get connections -o wide` and the Events. Messages are stable
across attempts and carry nothing that a provider or a store answered.

"""

# A condition without a word here would be a section without an explanation.
MEANING = {
    Condition.READY: "The summary: a workload can use the Secret now.",
    Condition.SPEC_VALID: "The object is complete and fits its connector.",
    Condition.CREDENTIALS_RESOLVED: "Every reference leads to a value.",
    Condition.AUTHORIZED: "A person has granted access and the provider has not ended it.",
    Condition.TOKEN_FRESH: "The published token is refreshed in time. False with `Ready=True` means that the last "
    "refresh failed and the token still lives.",
    Condition.SCOPES_GRANTED: "What was asked for was granted.",
    Condition.SECRET_PUBLISHED: "The workload Secret is ours and up to date.",
    Condition.VERIFIED: "The product took what is published when it was asked last (`status.lastVerifiedAt`); "
    "`Unknown` when it did not say. It never changes `Ready`.",
    Condition.ACCEPTED: "A FederatedCredential counts for its Connection: one of the 20 oldest, and the oldest of its "
    "display name.",
    Condition.CONNECTION_RESOLVED: "The Connection of a FederatedCredential is there and has tokens to hand out.",
    Condition.ISSUER_KEYS_KNOWN: "The public keys of a FederatedCredential's issuer are known.",
    Condition.SCOPES_ENFORCEABLE: "There and False while the Connection's token has scopes beyond the credential's.",
    Condition.SUBJECT_LASTING: "A warning, there only while it is False: the subject may be somebody else's one day. "
    "It never changes `Ready`.",
    Condition.TRUST_UNIQUE: "A warning, there only while it is False. It never changes `Ready`.",
    Condition.IN_USE: "A warning, there only while it is False. It never changes `Ready`.",
}

RETRIES = {
    Retry.NONE: "-",
    Retry.ON_CHANGE: "on change",
    Retry.SOURCE: "source",
    Retry.CONFIGURATION: "configuration",
    Retry.TRANSIENT: "transient",
    Retry.THROTTLED: "throttled",
    Retry.INTERVAL: "interval",
    Retry.KEYS: "keys",
    Retry.CONSENT: "consent",
}


def page(_: str) -> str:
    parts = [head("operator/lanyard/reason_texts.py"), INTRODUCTION, _retries()]
    for condition, meaning in MEANING.items():
        found = {reason: entry for reason, entry in CATALOGUE.items() if entry.condition is condition}
        parts += [f"\n## {condition.value}\n\n{meaning}\n"]
        parts += [_section(reason, entry) for reason, entry in found.items()]
    missing = {entry.condition for entry in CATALOGUE.values()} - MEANING.keys()
    if missing:
        raise ValueError(f"say what these conditions mean: {sorted(missing)}")
    return "".join(parts)


def _retries() -> str:
    rows = ([RETRIES[retry], retry.value] for retry in Retry if retry is not Retry.NONE)
    return "What happens after a failure is a property of its reason:\n\n" + table(["Retry", "The next attempt"], rows)


def _section(reason: Reason, entry: Entry) -> str:
    lines = [f"\n### {reason.value}\n\n", f"> {template(entry.message)}\n\n", f"{template(entry.hint)}\n"]
    if entry.retry is not Retry.NONE:
        waits = (
            "a person must act (`Stalled=True` unless a token still lives)" if entry.stalled else "recovers by itself"
        )
        lines.append(f"\nRetry: {RETRIES[entry.retry]}; {waits}.\n")
    return "".join(lines)
