"""What passes through a gateway in an exchange is looked for everywhere afterwards.

JWTs that are taken and refused, also what they claim; tokens that Lanyard made and the one of a product; the keys that
sign, and those that copies are sealed with. The workload Secret alone may hold the product's token. Both processes log
all they ever would (DEBUG), and are ended before their logs are read.
"""

import base64
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from lanyard.stores.ring_format import parse_keys
from support.cluster import Cluster
from support.federating import JWT_BEARER, FederationTeam
from support.issuing import StaticIssuer
from support.jwts import IssuerKey, key_pair
from support.tenant import Tenant
from support.traces import every_version, forms, of_process, pages, revision, written_files

PRODUCT = "product"
STRANGE = "a-strange-claim-of-somebody"


@dataclass
class Found:
    """What must be nowhere, by what it is, and where it is looked for. `allowed` is the workload Secret's content."""

    secret: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    allowed: str = ""

    def note(self, what: str, value: str) -> str:
        assert value, f"{what} was not there to be noted"
        self.secret[what] = value
        return value


def exchanges(found: Found, team: FederationTeam, issuer: StaticIssuer) -> None:
    """Each kind of exchange that is taken, and refusals of each step."""
    jwt = found.note("JWT of a minted token", issuer.token())
    found.note("minted token", team.until_taken(jwt).json()["access_token"])
    jwt = found.note("JWT of the product's token", issuer.token())
    product = {"client_id": team.client_id(PRODUCT)}
    found.note("product's token", team.until_taken(jwt, **product).json()["access_token"])
    jwt = found.note("JWT that is used once", issuer.token(sub="workload:once"))
    found.note("minted token for one use", team.until_taken(jwt).json()["access_token"])
    forged = IssuerKey(issuer.key.key_id, "RS256", key_pair("RS256", 99))
    unknown = IssuerKey("nobody-knows-it", "RS256", key_pair("RS256", 98))
    refused = {
        "JWT that comes again": jwt,
        "JWT of a stranger": issuer.token(sub=f"workload:{STRANGE}"),
        "JWT with a wrong signature": issuer.token(key=forged),
        "JWT of an unknown key": issuer.token(key=unknown),
        "JWT that is over": issuer.token(exp=1_700_000_000),
        "JWT that breaks a rule": issuer.token(sub="workload:ruled", ref=STRANGE),
    }
    for what, text in refused.items():
        assert team.present(found.note(what, text)).status_code == 400, what
    assert team.present_as_grant(found.note("JWT at another grant", issuer.token())).status_code == 200
    junk = found.note("text that is no JWT", f"junk.{uuid.uuid4().hex}.junk")
    assert team.exchange({"grant_type": JWT_BEARER, "assertion": junk}).status_code == 400
    own = found.secret["minted token"]
    told = team.client.post(
        team.url("/oauth/introspect"), data={"token": own}, headers={"Authorization": f"Bearer {own}"}
    )
    assert told.json()["active"] is True
    assert team.client.post(team.url("/oauth/revoke"), data={"token": own}).status_code == 200


@pytest.fixture(scope="module")
def found(
    environment: Any,
    kubernetes: Any,
    rings: Mapping[str, str],
    operator_process: Callable[..., Any],
    gateway_process: Callable[..., Any],
) -> Iterator[Found]:
    audited, since = kubernetes.audit_offset(), revision(kubernetes.etcd_url)
    gateway = gateway_process(log_level="DEBUG", last_use_interval="1s").start()
    operator = operator_process(log_level="DEBUG", gateway_url=gateway.url).start()
    here, name = Found(), f"canary-{uuid.uuid4().hex[:8]}"
    for ring, path in rings.items():
        for key in parse_keys(Path(path).read_text()):
            here.note(f"key of {ring}", base64.b64encode(key.material).decode())
    with kubernetes.client() as client, StaticIssuer() as issuer:
        kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        cluster = Cluster(client, name)
        with (
            closing(Tenant(cluster, environment)) as tenant,
            closing(FederationTeam(cluster, environment, gateway, issuer)) as team,
        ):
            tenant.in_secret()
            here.note("client secret", tenant.secret)
            tenant.connect(PRODUCT, scopes=("api",))
            team.trust()
            team.trust("product", connection=PRODUCT)
            team.trust("once", subject="workload:once", replay="SingleUse")
            team.trust("ruled", subject="workload:ruled", claims=[{"claim": "ref", "equals": "main"}])
            cluster.wait_ready(PRODUCT)
            exchanges(here, team, issuer)
            cluster.wait("FederatedCredential", "ci", lambda one: "lastExchangeAt" in (one.get("status") or {}))
            described = [
                kubernetes.kubectl("describe", kind, "-n", place)
                for place in (name, "lanyard-exchange")
                for kind in ("connections", "federatedcredentials", "events", "secrets")
            ]
            port = gateway.wait_for("started")["health_port"]
            served = json.dumps(pages(operator)) + httpx.get(f"http://127.0.0.1:{port}/metrics").text
            process = "".join(
                of_process(one.pid, part) for one in (operator, gateway) for part in ("environ", "cmdline")
            )
            files = written_files(operator.pid) + [one for one in written_files(gateway.pid) if "gateway-" not in one]
            operator.stop()
            gateway.stop()
            holders = {f"/registry/secrets/{name}/{secret}" for secret in (f"{PRODUCT}-token", "app")}
            versions = every_version(kubernetes.etcd_url, since)
        here.allowed = "\n".join(value for key, value in versions if key in holders)
        here.places = {
            "the operator's log": operator.log.read_text(errors="replace"),
            "the gateway's log": gateway.log.read_text(errors="replace"),
            "what both serve": served,
            "every version of every object": "\n".join(
                f"{key} {value}" for key, value in versions if key not in holders
            ),
            "the audit log": "\n".join(json.dumps(one) for one in kubernetes.audit_events(audited)),
            "kubectl describe": "\n".join(described),
            "the processes": process + "\n".join(files),
        }
        yield here
        client.delete(f"/api/v1/namespaces/{name}")


PLACES = [
    "the operator's log",
    "the gateway's log",
    "what both serve",
    "every version of every object",
    "the audit log",
    "kubectl describe",
    "the processes",
]


@pytest.mark.spec("A2", "C8", "F1")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_an_exchange_is_in(place: str, found: Found) -> None:
    content = found.places[place]
    assert [what for what, value in found.secret.items() if any(form in content for form in forms(value))] == []
    assert STRANGE not in content


@pytest.mark.timeout(180)
def test_the_search_finds_what_is_there(found: Found) -> None:
    """Otherwise its silence would prove nothing."""
    assert found.secret["product's token"] in found.allowed
    assert found.secret["client secret"] in found.allowed
    log = found.places["the gateway's log"]
    for said in ("handed out", "no credential fits", "a claim rule does not hold", "presented before", "revoked"):
        assert said in log, said
    for said in ("lanyard.dev/token-copy", "lanyard.dev/issuer-keys", "lanyard.dev/spent", "lanyard.dev/last-use"):
        assert said in found.places["every version of every object"], said
    assert "lanyard_exchanges_total" in found.places["what both serve"]
