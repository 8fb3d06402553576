"""Shared types of all kinds: bounded strings, durations, references, namespace grants, conditions."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

GROUP = "lanyard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FIELD_MANAGER = "lanyard"
READABLE_LABEL = f"{GROUP}/readable"
PRESENTABLE_LABEL = f"{GROUP}/presentable"
CONNECTION_UID_LABEL = f"{GROUP}/connection-uid"
CONNECTION_ANNOTATION = f"{GROUP}/connection"
"""`namespace/name` of the Connection, on what is kept for it in Lanyard's own namespaces."""
REFRESH_ANNOTATION = f"{GROUP}/refresh"
"""On a Connection: when somebody asked for fresh credentials (RFC 3339); one attempt is made for each new value."""
CONSENT_ANNOTATION = f"{GROUP}/consent"
"""On a Connection: `<hash>.<user>`, who approved which browser (DESIGN 4, Consent)."""
CONSENT_LABEL = f"{GROUP}/consent"
"""On a consent record: its phase."""
FINALIZER = f"{GROUP}/grant"
"""On a Connection with a stored grant: the operator takes the grant back before the object goes."""
GRANT_LABEL = f"{GROUP}/grant"
"""On a state Secret: the id of the install that holds the grant."""
COPY_LABEL = f"{GROUP}/token-copy"
"""On a Secret that operator and gateway share: a Connection's live access token, sealed."""
ISSUER_KEYS_LABEL = f"{GROUP}/issuer-keys"
"""On a Secret that operator and gateway share: the public keys of one issuer."""
REFETCH_ANNOTATION = f"{GROUP}/refetch-at"
"""On a key set: when a gateway met a key id that it does not have (RFC 3339)."""
LAST_USE_LABEL = f"{GROUP}/last-use"
"""On a Secret that a gateway replica writes: when it handed out a token for which credential last."""
SPENT_LABEL = f"{GROUP}/spent"
"""On a Secret that stands for a JWT which is taken once only, or for a token of ours that was revoked."""


class Model(BaseModel):
    """Frozen, camelCase on the wire. Unknown members are ignored in objects and refused in connector files."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


def cel(*rules: tuple[str, str]) -> dict[str, Any]:
    """CEL rules for a schema node: pairs of (rule, message that names the fix)."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


_DURATION = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")

Duration = Annotated[
    str,
    Field(
        min_length=2,
        max_length=16,
        pattern=r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$",
        description="A length of time such as 90s, 5m or 1h30m.",
    ),
]


def parse_duration(text: str) -> timedelta:
    """`1h30m` as a timedelta; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError("not a duration such as 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
ShortText = Annotated[str, Field(max_length=256)]
LongText = Annotated[str, Field(max_length=1024)]

HTTPS_ONLY = (
    "self.startsWith('https://') || self.matches('^http://(127[.]0[.]0[.]1|localhost|\\\\[::1\\\\])(:[0-9]+)?(/.*)?$')",
    "use https (http is taken for loopback only, and only where the platform allows it)",
)


class SecretKeyRef(Model):
    """One key of a Secret in the namespace of the object that refers to it."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.namespace)",
                "a secretRef reads its own namespace only: remove namespace, or use a credentialAssetRef, "
                "which can be shared across namespaces",
            )
        )
    )

    name: ObjectName = Field(description="Name of the Secret; it carries the label lanyard.dev/readable=true.")
    key: SecretKey = Field(description="Key within the Secret.")
    namespace: NamespaceName | None = Field(None, description="Not allowed; here so that it is refused with a reason.")


class PlatformSecretKeyRef(Model):
    """One key of a Secret in any namespace; only in kinds that the platform team owns."""

    namespace: NamespaceName = Field(description="Namespace of the Secret.")
    name: ObjectName = Field(description="Name of the Secret; it carries the label lanyard.dev/readable=true.")
    key: SecretKey = Field(description="Key within the Secret.")


class LabelRequirement(Model):
    """One requirement of a label selector."""

    key: Annotated[str, Field(min_length=1, max_length=317)]
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] = []


class LabelSelector(Model):
    """A Kubernetes label selector; an empty one selects everything."""

    match_labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)] = {}
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=32)] = []

    def matches(self, labels: dict[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _requirement_holds(requirement, labels) for requirement in self.match_expressions
        )


def _requirement_holds(requirement: LabelRequirement, labels: dict[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


class NamespaceGrant(Model):
    """Who else may use an object: namespaces by name, or by label. An empty selector admits every namespace."""

    names: Annotated[list[NamespaceName], Field(max_length=256, description="Namespaces by name.")] = []
    selector: LabelSelector | None = Field(None, description="Namespaces by label; an empty selector admits all.")

    def admits(self, namespace: str, labels: dict[str, str] | None) -> bool:
        """Labels that are not known (None) match no selector: `DoesNotExist` would match what was not looked at."""
        if namespace in self.names:
            return True
        return self.selector is not None and labels is not None and self.selector.matches(labels)


class ConditionModel(Model):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    observed_generation: int | None = None
    last_transition_time: Annotated[str, Field(max_length=32)]
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    message: Annotated[str, Field(max_length=1024)]


Conditions = Annotated[
    list[ConditionModel],
    Field(
        max_length=16,
        description="The state, by type. Ready is the summary.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]

Timestamp = Annotated[str, Field(max_length=32, description="RFC 3339, UTC.")]


class ObjectStatus(Model):
    """What every kind reports."""

    observed_generation: int = Field(
        -1, description="Generation of the spec that this status speaks of; -1 before any."
    )
    conditions: Conditions = []


def misfit(error: ValidationError) -> str:
    """The path of the first member that does not fit, never its value."""
    return ".".join(str(part) for part in error.errors(include_input=False, include_url=False)[0]["loc"])


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column."""

    name: str
    path: str
    priority: int = 0
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind is registered at the API server."""

    name: str
    plural: str
    short: str
    spec: type[Model]
    status: type[ObjectStatus]
    columns: tuple[Column, ...]
    namespaced: bool = True
    selectable: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    description: str = ""
    labels: tuple[tuple[str, str], ...] = ()


READY_COLUMNS = (
    Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
)
MESSAGE_COLUMN = Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1)
AGE_COLUMN = Column("Age", ".metadata.creationTimestamp", type="date")
