"""Every setting, from the environment, checked at start. `docs/reference/settings.md` is rendered from this table."""

import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from lanyard.api.meta import parse_duration
from lanyard.rules.lease import TRUSTED_SHARE

PREFIX = "LANYARD_"


class SecretAccess(StrEnum):
    """Which Secrets may be read."""

    LABEL = "label"
    NAMESPACE = "namespace"


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _durations(value: Any) -> Any:
    return tuple(parse_duration(part) for part in _split(value)) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Networks = Annotated[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], BeforeValidator(_split)]
# A pause or an interval of nothing would be a busy loop.
Length = Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta(0))]
Lengths = Annotated[tuple[Length, ...], BeforeValidator(_durations), Field(min_length=1)]

NAMESPACE = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
# No path: redirect URIs are made from it, and a cookie of a `__Host-` name belongs to the whole host.
GATEWAY_URL = r"^(https://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?)?$"


class Settings(BaseModel):
    """Lengths of time are written as 90s, 5m or 1h30m; lists are separated by commas."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: Path | None = Field(None, description="Kubeconfig file; absent means the pod's ServiceAccount.")
    namespaces: Names = Field((), description="Namespaces to serve; empty means all.")
    secret_access: SecretAccess = Field(
        SecretAccess.LABEL, description="`label`: only Secrets labelled as readable; `namespace`: every Secret."
    )
    ca_bundle: Path | None = Field(None, description="PEM file of CAs trusted beside the system's, for providers.")
    egress_allowed_networks: Networks = Field(
        (), description="Private networks that hosts named by tenants may lie in."
    )
    egress_allowed_hosts: Names = Field(
        (), description="Hosts that tenants may name when requests go through a proxy, such as *.example.com."
    )
    allow_loopback_http: bool = Field(False, description="Take http:// on loopback addresses; for development only.")
    provider_deadline: Length = Field(timedelta(seconds=20), description="Longest wait for a token endpoint.")
    retry_first: Length = Field(timedelta(seconds=5), description="First pause after a passing failure.")
    retry_longest: Length = Field(timedelta(minutes=5), description="Longest pause after a passing failure.")
    retry_configuration: Lengths = Field(
        (timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60)),
        description="Pauses after an answer that only a change of configuration can mend; the last one repeats.",
    )
    resync_interval: Length = Field(timedelta(minutes=10), description="How often everything is listed anew.")
    watch_restart_pause: Length = Field(timedelta(seconds=1), description="First pause before an ended watch restarts.")
    drain_deadline: Length = Field(timedelta(seconds=30), description="Longest wait for what is in flight at a stop.")
    workers: int = Field(64, ge=1, le=512, description="Objects worked on at once.")
    health_address: str = Field("0.0.0.0", description="Address of health and metrics.")  # noqa: S104 - a pod's port
    health_port: int = Field(8080, ge=0, le=65535, description="Port of health and metrics; 0 picks a free one.")
    system_namespace: str = Field(
        "lanyard-system", pattern=NAMESPACE, description="The operator's own namespace: keyrings and stored grants."
    )
    exchange_namespace: str = Field(
        "lanyard-exchange", pattern=NAMESPACE, description="Namespace that operator and gateway share."
    )
    lease_duration: Length = Field(
        timedelta(seconds=10), description="How long others wait for a leader that is not heard of any more."
    )
    lease_renew: Length = Field(timedelta(seconds=3), description="How often the leader renews its Lease.")
    lease_retry: Length = Field(
        timedelta(seconds=1),
        validate_default=True,
        description="Pause after a vain renewal, and between two looks of those who stand by.",
    )
    keyring_grant: Path | None = Field(None, description="JSON file of the ring `grant`: refresh tokens.")
    keyring_token: Path | None = Field(None, description="JSON file of the ring `token`: consents, shared copies.")
    keyring_signing: Path | None = Field(
        None, description="JSON file of the ring `signing`: access tokens of Lanyard's own; for the gateway."
    )
    signing_key_activation: Length = Field(
        timedelta(minutes=45),
        description="How long `lanyard keys rotate` lets a new signing key be published before it signs: whoever "
        "checks our tokens may keep the published keys for a quarter of an hour.",
    )
    key_activation: Length = Field(
        timedelta(minutes=10),
        description="How long `lanyard keys rotate` lets a new key travel to every process before it seals.",
    )
    gateway_url: str = Field(
        "",
        pattern=GATEWAY_URL,
        description="Address of the gateway as browsers see it, such as https://lanyard.example.",
    )
    revocation_deadline: Length = Field(
        timedelta(seconds=60), description="Longest time that a deletion waits for the provider to revoke the grant."
    )
    orphan_after: Length = Field(
        timedelta(days=7), description="How long a stored grant is kept whose Connection is missing."
    )
    last_exchange_interval: Length = Field(
        timedelta(hours=1), description="How often a federated credential's last use is told in its status, at most."
    )
    code_lifetime: Length = Field(
        timedelta(seconds=60), description="How old the provider's answer to a consent may be when it is used."
    )
    issuer_refresh: Length = Field(
        timedelta(minutes=10), description="How often issuers' keys are fetched; more often where an issuer says so."
    )
    issuer_keys_life: Length = Field(
        timedelta(hours=24), description="How old an issuer's keys may be while newer ones cannot be fetched."
    )
    issuer_refetch_pause: Length = Field(
        timedelta(seconds=30),
        description="Time between two fetches of one issuer's keys for a key id that nobody knows.",
    )
    gateway_address: str = Field("0.0.0.0", description="Address the gateway listens on.")  # noqa: S104 - a pod's port
    gateway_port: int = Field(8443, ge=0, le=65535, description="Port the gateway listens on; 0 picks a free one.")
    gateway_tls_certificate: Path | None = Field(None, description="PEM file; absent where a proxy ends TLS.")
    gateway_tls_key: Path | None = Field(None, description="PEM file of the certificate's key.")
    gateway_proxies: Networks = Field((), description="Networks of proxies whose X-Forwarded-For is believed.")
    gateway_requests_per_minute: int = Field(300, ge=1, description="Requests of one client address; more get 429.")
    gateway_browser_requests_per_minute: int = Field(
        90, ge=1, description="Requests of one browser during a consent; more get 429."
    )
    token_lifetime: Length = Field(
        timedelta(hours=1), le=timedelta(hours=1), description="How long access tokens of Lanyard's own live."
    )
    exchange_client_requests_per_minute: int = Field(
        4_800, ge=1, description="Exchanges of one client whose JWT was good; more get 429."
    )
    exchange_namespace_requests_per_minute: int = Field(
        24_000, ge=1, description="Exchanges of all clients of one namespace; more get 429."
    )
    exchange_address_requests_per_minute: int = Field(
        6_000, ge=1, description="Requests of one client address to addresses that programs call; more get 429."
    )
    last_use_interval: Length = Field(
        timedelta(minutes=1), description="How often a gateway writes down which credentials were used."
    )
    rest_api: bool = Field(
        False, description="Serve the REST API for federated credentials; the chart gives the rights that it needs."
    )
    rest_api_reads: int = Field(
        300, ge=1, description="Reads of one namespace over the REST API within 5 minutes; more get 429."
    )
    rest_api_creations: int = Field(24_000, ge=1, description="Creations likewise.")
    rest_api_changes: int = Field(160, ge=1, description="Replacements and deletions likewise.")
    watch_silence: Length = Field(
        timedelta(seconds=120), description="The gateway answers nothing after so long without word of the cluster."
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severe level to log.")

    @field_validator("lease_retry")
    @classmethod
    def _a_renewal_may_fail_once(cls, retry: timedelta, known: ValidationInfo) -> timedelta:
        """Within the time a leader trusts its Lease for, one renewal may fail and the next one still comes in time."""
        duration, renew = known.data.get("lease_duration"), known.data.get("lease_renew")
        if duration is not None and renew is not None and renew + retry > duration * TRUSTED_SHARE:
            raise ValueError("the Lease would end before it is renewed")
        return retry


class SettingsError(Exception):
    """A setting is wrong; the text names it and never its value."""


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from `LANYARD_*`. SettingsError for an unknown or malformed one."""
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    given = {name: value for name, value in given.items() if not _is_foreign(name)}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"][:1]).upper()
        what = "is not a setting" if first["type"] == "extra_forbidden" else "does not have the form it needs"
        raise SettingsError(f"{name} {what}: see docs/reference/settings.md") from None


# What kubelet sets for each Service of the namespace: one named lanyard-metrics gives LANYARD_METRICS_PORT_8080_TCP.
_SERVICE_LINK = re.compile(r"(.*_)?(service_host|service_port(_.*)?|port(_[0-9]+_(tcp|udp|sctp)(_.*)?)?)")


def _is_foreign(name: str) -> bool:
    """Variables that begin like ours and are not meant for us."""
    if name in Settings.model_fields:
        return False
    return name.startswith("localenv_") or _SERVICE_LINK.fullmatch(name) is not None
