"""The one tree of errors. Each carries a reason of the closed list, a finished message, a hint and a retry rule.

    LanyardError
    ├── SpecError             what the user wrote cannot work
    ├── SourceError           a referenced object or value is missing, refused or malformed
    │   └── StoreError        ... and a credential store said so
    ├── ProviderError         the provider refused, failed or answered nonsense
    └── PublishError          the workload Secret could not be written
    KubernetesError           the API server refused or did not answer (clients only)
    SteppedBackError          this process may not act now: another one may be at work

A `LanyardError` is raised where the fact is known and turned into conditions in `rules`. Its text is safe to show:
templates take names and numbers only (see `reasons`).
"""

from dataclasses import dataclass
from string import Formatter

from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Condition, Reason, Retry

MESSAGE_LIMIT = 256


class LanyardError(Exception):
    """A failure with a reason. `facts` fill the reason's templates; `retry_after` is in seconds, from the provider."""

    def __init__(self, reason: Reason, /, *, retry_after: float | None = None, **facts: object) -> None:
        self.reason = reason
        self.facts = {name: str(value) for name, value in facts.items()}
        self.retry_after = retry_after
        super().__init__(self.message)

    @property
    def condition(self) -> Condition:
        return CATALOGUE[self.reason].condition

    @property
    def retry(self) -> Retry:
        return CATALOGUE[self.reason].retry

    @property
    def stalled(self) -> bool:
        return CATALOGUE[self.reason].stalled

    @property
    def message(self) -> str:
        """What happened, then the next step: at most 256 characters, the same text on every retry."""
        entry = CATALOGUE[self.reason]
        return clip(f"{fill(entry.message, self.facts)} {fill(entry.hint, self.facts)}".strip())

    @property
    def hint(self) -> str:
        return fill(CATALOGUE[self.reason].hint, self.facts)


class SpecError(LanyardError):
    """What the user wrote cannot work; retried when it changes."""


class SourceError(LanyardError):
    """A referenced Secret, asset, ServiceAccount or store object is missing, refused or malformed."""


class StoreError(SourceError):
    """A credential store refused, failed or answered nonsense."""


class ProviderError(LanyardError):
    """The provider refused, failed or answered nonsense.

    `rejected` marks answers that a fresh copy of the credentials might mend (RFC 6749 5.2 `invalid_client`, and
    `invalid_grant` of the password grant): the caller refetches them once and tries once more. `unanswered` marks
    failures after which nobody knows whether the request was carried out.
    """

    def __init__(
        self, reason: Reason, /, *, retry_after: float | None = None, unanswered: bool = False, **facts: object
    ) -> None:
        super().__init__(reason, retry_after=retry_after, **facts)
        self.unanswered = unanswered

    @property
    def rejected(self) -> bool:
        return self.reason in {Reason.CLIENT_REJECTED, Reason.CREDENTIALS_REJECTED}


class PublishError(LanyardError):
    """The workload Secret could not be written."""


@dataclass(frozen=True, slots=True)
class KubernetesStatus:
    """What the API server said: HTTP status and the `reason` of its Status object; 0 when nothing was answered."""

    code: int
    reason: str = ""


class KubernetesError(Exception):
    """The API server refused or did not answer. Its message text is dropped: it may quote what was sent."""

    def __init__(self, status: KubernetesStatus, retry_after: float | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(f"the API server answered {status.code} {status.reason}".strip())

    @property
    def code(self) -> int:
        return self.status.code


class SteppedBackError(Exception):
    """The Lease is not held, or nobody can be sure of it. Nothing was sent that a peer could act on."""


def unavailable(error: KubernetesError) -> LanyardError:
    """What no answer of the API server means for an object that needed one; its Retry-After is kept."""
    return LanyardError(Reason.KUBERNETES_UNAVAILABLE, retry_after=error.retry_after)


def fill(template: str, facts: dict[str, str]) -> str:
    """Fill `{name}` fields; a fact that is not known leaves a gap that reads as one, never an exception."""
    parts = []
    for text, field, _, _ in Formatter().parse(template):
        parts.append(text)
        if field is not None:
            parts.append(facts.get(field, "?"))
    return "".join(parts)


def clip(text: str) -> str:
    """Condition messages are at most 256 characters and one line."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"
