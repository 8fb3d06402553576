"""The examples of federation against tokens as vendors document them: each fits, and only what it should."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from lanyard.api.connection import ConnectionSpec
from lanyard.api.federation import FederatedCredentialSpec
from lanyard.connectors.loader import load_catalogue
from lanyard.connectors.selection import plan_for
from lanyard.flows.exchange import LEEWAY, LONGEST_LIFE
from lanyard.oauth.presented import Verified, hold_timely
from lanyard.rules.claims import broken_rule
from lanyard.rules.subjects import lasting
from lanyard.rules.trust import Credential, TrustIndex, credential_of
from support.claim_shapes import (
    AWS,
    EKS,
    ENTRA,
    ENTRA_V1,
    GITHUB_ACTIONS,
    GITLAB,
    GOOGLE,
    KEYCLOAK,
    KUBERNETES,
    SPIFFE,
    Shape,
)

FOLDER = Path(__file__).parents[2] / "examples" / "federation"
FILES = sorted(FOLDER.glob("*.yaml"))
AUDIENCE = "https://lanyard.example/sales"
A_DAY_OF_ENTRA = 86_700  # a managed identity's token: a day, dated five minutes back
PRODUCTION = replace(
    GITHUB_ACTIONS,
    subject="repo:acme@65/crm@74:environment:production",
    claims={**GITHUB_ACTIONS.claims, "environment": "production"},
)


@dataclass(frozen=True)
class Sample:
    """A documented token. `audience` is what its workload asks for, where it chooses; else the documented one."""

    shape: Shape
    audience: str = AUDIENCE

    def claims(self) -> dict[str, Any]:
        return self.shape.filled(audience=self.audience, now=1_780_000_000)


SAMPLES = {
    "sales-org-from-main": Sample(GITHUB_ACTIONS),
    "sales-org-from-production": Sample(PRODUCTION),
    "crm-api-from-gitlab": Sample(GITLAB),
    "crm-from-apps": Sample(KUBERNETES),
    "crm-api-from-azure": Sample(replace(ENTRA, life=A_DAY_OF_ENTRA), ENTRA.audience),
    "crm-api-from-azure-v1": Sample(ENTRA_V1, ENTRA_V1.audience),
    "crm-api-from-google": Sample(GOOGLE),
    "crm-api-from-aws": Sample(AWS),
    "crm-api-from-eks": Sample(EKS),
    "crm-api-from-spire": Sample(SPIFFE),
    "crm-api-from-keycloak": Sample(KEYCLOAK),
}


def documents(kind: str) -> dict[str, dict[str, Any]]:
    """By name of the file and of the object: Connections of the same name are in several files."""
    found = [(file.stem, one) for file in FILES for one in yaml.safe_load_all(file.read_text()) if one["kind"] == kind]
    return {f"{file}/{one['metadata']['name']}": one for file, one in found}


CREDENTIALS = documents("FederatedCredential")
CONNECTIONS = documents("Connection")
NAMES = {path: path.partition("/")[2] for path in CREDENTIALS}


def credential(path: str) -> Credential:
    one = CREDENTIALS[path]
    metadata = {**one["metadata"], "uid": path, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return credential_of(metadata, FederatedCredentialSpec.model_validate(one["spec"]), "keys")


def matched(one: Credential, claims: dict[str, Any]) -> bool:
    index = TrustIndex()
    index.put(one)
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    return index.match(one.namespace, one.connection, claims["iss"], claims["sub"], audiences) == (one,)


def test_every_credential_of_the_examples_has_a_documented_token() -> None:
    assert sorted(NAMES.values()) == sorted(SAMPLES)


@pytest.mark.spec("F1", "F2", "F+2")
@pytest.mark.parametrize("path", CREDENTIALS)
def test_a_token_as_the_vendor_documents_it_fits_the_example(path: str) -> None:
    one, claims = credential(path), SAMPLES[NAMES[path]].claims()
    assert matched(one, claims)
    assert broken_rule(one.rules, claims) is None


@pytest.mark.spec("F1")
@pytest.mark.parametrize("path", CREDENTIALS)
def test_a_token_as_the_vendor_documents_it_does_not_live_too_long(path: str) -> None:
    claims = SAMPLES[NAMES[path]].claims()
    end = datetime.fromtimestamp(claims["exp"], UTC)
    token = Verified(claims["iss"], claims["sub"], (), claims, end, None)
    hold_timely(token, datetime.fromtimestamp(claims["iat"], UTC), leeway=LEEWAY, longest_life=LONGEST_LIFE)


@pytest.mark.spec("F2")
@pytest.mark.parametrize("changed", ["iss", "sub", "aud"])
@pytest.mark.parametrize("path", CREDENTIALS)
def test_a_token_that_differs_in_one_of_the_three_does_not_fit(path: str, changed: str) -> None:
    claims = SAMPLES[NAMES[path]].claims()
    value = claims[changed][0] if isinstance(claims[changed], list) else claims[changed]
    assert not matched(credential(path), {**claims, changed: value + "x"})


def without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    """The claims with what a rule looks at changed to something else, wherever it lies."""
    if not name.startswith("/"):
        return {**claims, name: "something-else"}
    first, _, rest = name[1:].partition("/")
    member = first.replace("~1", "/").replace("~0", "~")
    return {**claims, member: without(claims[member], f"/{rest}" if "/" in rest else rest)}


RULES = [(path, rule.claim) for path in CREDENTIALS for rule in credential(path).rules]


@pytest.mark.spec("F+2")
@pytest.mark.parametrize(("path", "claim"), RULES)
def test_each_rule_of_an_example_refuses_another_value(path: str, claim: str) -> None:
    broken = broken_rule(credential(path).rules, without(SAMPLES[NAMES[path]].claims(), claim))
    assert broken is not None
    assert broken.claim == claim


@pytest.mark.spec("F+2")
@pytest.mark.parametrize("path", CREDENTIALS)
def test_the_subject_of_an_example_stays_with_its_owner(path: str) -> None:
    one = credential(path)
    assert lasting(one.issuer, one.subject, one.rules) is None


@pytest.mark.spec("F12", "F+1")
@pytest.mark.parametrize("path", CREDENTIALS)
def test_the_connection_of_an_example_is_in_the_same_file(path: str) -> None:
    file = path.partition("/")[0]
    wanted = CREDENTIALS[path]["spec"]["connectionRef"]["name"]
    assert CONNECTIONS[f"{file}/{wanted}"]["metadata"]["namespace"] == CREDENTIALS[path]["metadata"]["namespace"]


@pytest.mark.spec("C16", "F+1")
@pytest.mark.parametrize("path", CONNECTIONS)
def test_a_connection_of_the_examples_leaves_nothing_to_choose(path: str) -> None:
    spec = ConnectionSpec.model_validate(CONNECTIONS[path]["spec"])
    connector = load_catalogue()[spec.connector]
    if connector.spec.mints is None:
        assert plan_for(spec, connector).method.name == spec.auth.method


def the_pod() -> dict[str, Any]:
    (pod,) = documents("Pod").values()
    return pod


@pytest.mark.spec("F+1", "K5")
def test_the_pod_mounts_the_very_token_that_the_credential_is_for() -> None:
    spec = the_pod()["spec"]
    (source,) = [volume for volume in spec["volumes"] if "projected" in volume]
    (token,) = (one["serviceAccountToken"] for one in source["projected"]["sources"])
    trusted = CREDENTIALS["kubernetes-serviceaccount/crm-from-apps"]["spec"]
    account = f"system:serviceaccount:{the_pod()['metadata']['namespace']}:{spec['serviceAccountName']}"
    assert (token["audience"], account) == (trusted["audience"], trusted["subject"])
    assert token["expirationSeconds"] == 3600


@pytest.mark.spec("F+1")
def test_the_pod_holds_no_secret_and_no_token_for_the_api_server() -> None:
    spec = the_pod()["spec"]
    (account,) = documents("ServiceAccount").values()
    assert account["automountServiceAccountToken"] is False
    assert not any("secret" in volume for volume in spec["volumes"])
    assert "secretKeyRef" not in yaml.safe_dump(spec)
