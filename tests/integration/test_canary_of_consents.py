"""What passes through gateway and operator in a person's consent is looked for everywhere afterwards.

Consents that work, are declined, fail, and are given by the wrong account; refreshes; a deletion that revokes. Codes,
verifiers, states, cookies, form tokens and every token of the provider are known to the test. Only the workload Secret
may hold an access token; what the two namespaces of Lanyard hold is sealed and may show nothing. Both processes log
all they ever would (DEBUG), and are ended before their logs are read.
"""

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.flows.browsers import opened_browser
from lanyard.rules.grants import Grant
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import ConsentStore
from lanyard.stores.grants import GrantStore, install_id
from lanyard.stores.keyring import Keyring
from lanyard.stores.keyring_file import KeyringFile
from lanyard.stores.ring_format import parse_keys
from support.cluster import Cluster
from support.consenting import EXCHANGE, PASSWORD, Team
from support.gateway import COOKIE, Visitor, query_of
from support.granted import grants, refresh
from support.traces import every_version, forms, of_process, pages, revision, written_files

SYSTEM = "lanyard-system"
STRANGE_TEXT = "document.title"
"""What the OAuth server's own pages say in the description of a refusal."""


@dataclass
class Watched:
    """What was seen on the way, by where it was seen. `shown` is what people and the provider were shown by us."""

    ring: Keyring
    secret: dict[str, str] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    on_pages: set[str] = field(default_factory=set)
    """What a page of ours has in it by design: the token of its form."""

    def note(self, where: str, value: Sensitive | str | None) -> None:
        text = value.reveal() if isinstance(value, Sensitive) else value
        assert text, f"{where} was not there to be noted"
        self.secret[where] = text

    def browser(self, where: str, visitor: Visitor) -> None:
        cookie = visitor.client.cookies[COOKIE]
        self.note(f"cookie of {where}", cookie)
        browser = opened_browser(self.ring, cookie.strip('"'))
        assert browser is not None
        self.note(f"browser secret of {where}", browser.secret)
        self.note(f"form token of {where}", browser.csrf_token)
        self.on_pages.add(f"form token of {where}")

    def grant(self, where: str, grant: Grant) -> None:
        self.note(f"access token of {where}", grant.access_token)
        self.note(f"refresh token of {where}", grant.refresh_token)


@dataclass(frozen=True)
class Found:
    watched: Watched
    places: Mapping[str, str]
    allowed: str
    """What the Secret of the team holds, which workloads mount."""


def consent(watched: Watched, team: Team, where: str, *, agree: bool = True) -> None:
    """A person goes all the way, and everything that passes by is noted."""
    visitor = team.visitor()
    watched.shown.append(visitor.get(team.page_url()).text)
    approved = team.approved(visitor)
    watched.shown.append(approved.text)
    url = visitor.press(approved, "Continue to").headers["Location"]
    watched.browser(where, visitor)
    watched.note(f"state of {where}", query_of(url)["state"])
    newest = max(team.records(), key=lambda one: int(one["metadata"]["resourceVersion"]))
    watched.note(f"verifier of {where}", asyncio.run(_verifier(team, newest["metadata"]["name"])))
    callback = visitor.at_provider(url, name=team.person, password=PASSWORD, agree=agree)
    if agree:
        watched.note(f"code of {where}", query_of(callback)["code"])
    answer = visitor.get(callback, follow_redirects=True)
    watched.shown += [answer.text, *(str(one.headers) for one in answer.history if "Set-Cookie" not in one.headers)]
    ended = team.until(lambda: visitor.get(team.page_url()), lambda page: "Almost there" not in page.text)
    watched.shown.append(ended.text)


def life_of_a_grant(watched: Watched, team: Team, stored: Callable[[], Grant]) -> None:
    """Consents that end well and badly, and refreshes in between."""
    cluster = team.cluster
    watched.note("client secret", f"secret-of-{team.name}")
    consent(watched, team, "a declined consent", agree=False)
    cluster.wait_reason("crm", "ConsentDenied")
    consent(watched, team, "the first consent")
    cluster.wait_ready("crm")
    watched.grant("the first consent", stored())
    for number in (1, 2):
        refresh(team)
        watched.grant(f"refresh {number}", stored())
    team.oauth.rotate_secret(team.name, "another")
    consent(watched, team, "a consent whose code was refused")
    wait_event(team, "AuthorizationFailed")
    team.oauth.rotate_secret(team.name, f"secret-of-{team.name}")
    cluster.merge("Connection", "crm", {"spec": {"auth": {"expectedAccount": "somebody-else"}}})
    cluster.wait("Connection", "crm", lambda one: one["status"]["observedGeneration"] == one["metadata"]["generation"])
    consent(watched, team, "a consent of the wrong account")
    wait_event(team, "AccountMismatch")
    cluster.merge("Connection", "crm", {"spec": {"auth": {"expectedAccount": team.person}}})
    consent(watched, team, "the second consent")
    team.until(stored, lambda grant: grant.refresh_token.reveal() not in watched.secret.values())
    watched.grant("the second consent", stored())
    team.until(lambda: cluster.data("crm-token")["access_token"], lambda now: now == stored().access_token.reveal())


def wait_event(team: Team, reason: str) -> None:
    team.until(lambda: team.cluster.events("crm"), lambda seen: any(one["reason"] == reason for one in seen))


async def _verifier(team: Team, name: str) -> Sensitive | None:
    kubeconfig = team.environment.kubernetes.service_account_kubeconfig(SYSTEM, "lanyard-gateway")
    async with Kube(from_file(kubeconfig)) as kube:
        keyring = Keyring.parse(team.gateway.ring.read_text())
        record = await ConsentStore(kube, EXCHANGE, lambda: keyring).read(name)
    assert record is not None
    assert record.consent is not None
    return record.consent.code_verifier


async def _stored(kubeconfig: Path, ring: Path, uid: str, owner: str) -> Grant:
    async with Kube(from_file(kubeconfig)) as kube:
        store = GrantStore(kube, SYSTEM, KeyringFile(ring, "grant").current, await install_id(kube, SYSTEM))
        stored = await store.read(uid, owner)
    assert stored is not None
    return stored.grant


@pytest.fixture(scope="module")
def module_cluster(kubernetes: Any) -> Iterator[Cluster]:
    name = f"canary-{uuid.uuid4().hex[:8]}"
    with kubernetes.client() as client:
        kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield Cluster(client, name)
        client.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def found(
    environment: Any,
    kubernetes: Any,
    rings: Mapping[str, str],
    operator_kubeconfig: Path,
    operator_process: Callable[..., Any],
    gateway_process: Callable[..., Any],
    module_cluster: Cluster,
) -> Iterator[Found]:
    audited, since = kubernetes.audit_offset(), revision(kubernetes.etcd_url)
    gateway = gateway_process(log_level="DEBUG").start()
    operator = operator_process(log_level="DEBUG", gateway_url=gateway.url).start()
    watched = Watched(Keyring.parse(gateway.ring.read_text()))
    for name, path in rings.items():
        for key in parse_keys(Path(path).read_text()):
            watched.note(f"key of {name}", base64.b64encode(key.material).decode())
    with closing(Team(module_cluster, environment, gateway)) as team:
        uid = team.cluster.get("Connection", "crm")["metadata"]["uid"]

        def stored() -> Grant:
            return asyncio.run(_stored(operator_kubeconfig, Path(rings["keyring_grant"]), uid, f"{team.name}/crm"))

        life_of_a_grant(watched, team, stored)
        described = [
            kubernetes.kubectl("describe", kind, "-n", place)
            for place in (team.name, SYSTEM, EXCHANGE)
            for kind in ("connections", "events", "secrets")
        ]
        served = pages(operator)
        process = "".join(of_process(one.pid, part) for one in (operator, gateway) for part in ("environ", "cmdline"))
        files = written_files(operator.pid) + [one for one in written_files(gateway.pid) if "gateway-" not in one]
        team.cluster.delete("Connection", "crm")
        team.until(lambda: team.cluster.exists("Connection", "crm"), lambda there: not there)
        assert grants(team) == []
        operator.stop()
        gateway.stop()
        versions = every_version(kubernetes.etcd_url, since)
        holders = {f"/registry/secrets/{team.name}/{name}" for name in ("app", "crm-token")}
        yield Found(
            watched,
            {
                "the operator's log": operator.log.read_text(errors="replace"),
                "the gateway's log": gateway.log.read_text(errors="replace"),
                "what the operator serves": json.dumps(served),
                "the pages": "\n".join(watched.shown),
                "every version of every object": "\n".join(
                    f"{key} {value}" for key, value in versions if key not in holders
                ),
                "the audit log": "\n".join(json.dumps(one) for one in kubernetes.audit_events(audited)),
                "kubectl describe": "\n".join(described),
                "the processes": process + "\n".join(files),
            },
            "\n".join(value for key, value in versions if key in holders),
        )


PLACES = [
    "the operator's log",
    "the gateway's log",
    "what the operator serves",
    "the pages",
    "every version of every object",
    "the audit log",
    "kubectl describe",
    "the processes",
]


@pytest.mark.spec("C8", "A2")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_a_consent_is_in(place: str, found: Found) -> None:
    by_design = found.watched.on_pages if place == "the pages" else set()
    content = found.places[place]
    seen = [
        where
        for where, value in found.watched.secret.items()
        if where not in by_design and any(form in content for form in forms(value))
    ]
    assert seen == []
    assert STRANGE_TEXT not in content


@pytest.mark.spec("C8")
@pytest.mark.timeout(240)
def test_the_search_finds_what_is_there(found: Found) -> None:
    """Otherwise its silence would prove nothing."""
    secret, places = found.watched.secret, found.places
    assert secret["access token of the second consent"] in found.allowed
    assert secret["client secret"] in found.allowed
    assert secret["form token of the first consent"] in places["the pages"]
    assert len(set(secret.values())) == len(secret)
    for kind, least in {"code": 4, "verifier": 5, "state": 5, "cookie": 5, "refresh token": 4, "key": 2}.items():
        assert sum(where.startswith(f"{kind} of ") for where in secret) >= least, kind
    assert "AccountMismatch" in places["the operator's log"]
    assert "AuthorizationFailed" in places["kubectl describe"]
    assert "started" in places["the gateway's log"]
    assert "lanyard.dev/grant-generation" in places["every version of every object"]
    assert "lanyard.dev/consent" in places["every version of every object"]
    assert "lanyard_token_requests" in places["what the operator serves"]
    assert "LANYARD_KEYRING_TOKEN" in places["the processes"]
