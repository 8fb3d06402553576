"""Keys of an issuer over a real wire: which answers are taken, and what is said of the others."""

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from lanyard.clients.egress import EgressPolicy
from lanyard.clients.http import Outbound
from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError
from lanyard.flows.issuer_fetch import CONNECT_SECONDS, IssuerFetch, KeySource
from lanyard.oauth.jwk import KeySet
from lanyard.reasons import Reason
from support.issuing import Fetches, StaticIssuer
from support.provider import HANG, RESET, TRUNCATED, Answer, ScriptedProvider

pytestmark = pytest.mark.spec("F5")

LOOPBACK = EgressPolicy(allowed_networks=(ip_network("127.0.0.0/8"),))


class NoCluster:
    """An API server that tells nobody about its issuer."""

    async def get(self, path: str) -> dict[str, Any]:
        assert path == "/.well-known/openid-configuration"
        raise KubernetesError(KubernetesStatus(403))


def fetch_by(outbound: Outbound) -> IssuerFetch:
    cluster: Any = NoCluster()
    return IssuerFetch(outbound, cluster, lambda: datetime.now(UTC))


@pytest.fixture
async def fetch() -> AsyncIterator[IssuerFetch]:
    async with Outbound(LOOPBACK, connect_seconds=CONNECT_SECONDS) as outbound:
        yield fetch_by(outbound)


def source(whose: StaticIssuer, **changes: Any) -> KeySource:
    return KeySource(**{"issuer": whose.url, "ca_bundle": whose.ca_pem} | changes)


async def failure(fetch: IssuerFetch, one: KeySource) -> LanyardError:
    with pytest.raises(LanyardError) as caught:
        await fetch.fetch(one)
    return caught.value


def key_ids(jwks: bytes) -> set[str | None]:
    return {key.key_id for key in KeySet.of(jwks).keys}


@pytest.mark.parametrize("path", ["", "/", "/realms/acme", "/realms/acme/"])
async def test_the_discovery_document_leads_to_the_keys(fetch: IssuerFetch, path: str) -> None:
    with StaticIssuer(path) as issuer:
        found = await fetch.fetch(source(issuer))
        assert key_ids(found.jwks) == {issuer.key.key_id}
        assert found.max_age is not None
        assert found.max_age.total_seconds() == 600
        assert issuer.fetches == Fetches(1, 1)


async def test_an_address_of_the_credential_s_own_needs_no_discovery(fetch: IssuerFetch, issuer: StaticIssuer) -> None:
    found = await fetch.fetch(source(issuer, issuer="https://nowhere.invalid", jwks_uri=issuer.keys_url))
    assert key_ids(found.jwks) == {issuer.key.key_id}
    assert issuer.fetches == Fetches(0, 1)


def big(issuer: StaticIssuer) -> Answer:
    return Answer.of_json(issuer.key_set() | {"padding": "x" * 262_144})


def thousand(issuer: StaticIssuer) -> Answer:
    """More than 100 and less than 256 KiB."""
    entries = [{"kty": "EC", "kid": f"k{number}", "crv": "P-256"} for number in range(1000)]
    return Answer.of_json({"keys": [*entries, issuer.key.jwk()]})


AnswerOf = Callable[[StaticIssuer], Answer]
DISCOVERY: dict[str, tuple[AnswerOf, Reason]] = {
    "another issuer": (
        lambda one: Answer.of_json(one.discovery(issuer="https://other.example")),
        Reason.ISSUER_MISMATCH,
    ),
    "a slash more": (lambda one: Answer.of_json(one.discovery(issuer=one.url + "/")), Reason.ISSUER_MISMATCH),
    "a redirect to itself": (lambda one: Answer.of_redirect(f"{one.url}/real"), Reason.ISSUER_DOCUMENT_MISSING),
    "not found": (lambda _: Answer(404), Reason.ISSUER_DOCUMENT_MISSING),
    "no content": (lambda _: Answer(204), Reason.ISSUER_DOCUMENT_MISSING),
    "a login page": (lambda _: Answer.of_html(), Reason.ISSUER_DISCOVERY_INVALID),
    "over 64 KiB": (
        lambda one: Answer.of_json(one.discovery(padding="x" * 65_536)),
        Reason.ISSUER_DISCOVERY_INVALID,
    ),
    "without end": (lambda _: Answer.of_size(), Reason.ISSUER_DISCOVERY_INVALID),
    "keys over plain http": (
        lambda one: Answer.of_json(one.discovery(jwks_uri="http://keys.example/")),
        Reason.ISSUER_DISCOVERY_INVALID,
    ),
    "keys over http on loopback": (
        lambda one: Answer.of_json(one.discovery(jwks_uri="http://127.0.0.1:9/keys")),
        Reason.EGRESS_NOT_ALLOWED,
    ),
    "keys at the metadata address": (
        lambda one: Answer.of_json(one.discovery(jwks_uri="https://169.254.169.254/latest")),
        Reason.EGRESS_NOT_ALLOWED,
    ),
    "keys in the private network": (
        lambda one: Answer.of_json(one.discovery(jwks_uri="https://10.0.0.1/keys")),
        Reason.EGRESS_NOT_ALLOWED,
    ),
    "keys at a name and a password": (
        lambda one: Answer.of_json(one.discovery(jwks_uri="https://user:pass@127.0.0.1/keys")),
        Reason.ISSUER_KEYS_INVALID,
    ),
    "server error": (lambda _: Answer(503), Reason.ISSUER_UNREACHABLE),
    "too many requests": (lambda _: Answer(429), Reason.ISSUER_UNREACHABLE),
    "a reset": (lambda _: RESET, Reason.ISSUER_UNREACHABLE),
    "half a body": (lambda _: TRUNCATED, Reason.ISSUER_UNREACHABLE),
}


@pytest.mark.parametrize(("answer", "reason"), DISCOVERY.values(), ids=DISCOVERY.keys())
async def test_a_discovery_document_that_is_no_good_is_told_by_name(
    fetch: IssuerFetch, issuer: StaticIssuer, answer: AnswerOf, reason: Reason
) -> None:
    issuer.script(f"{issuer.discovery_path}/real", Answer.of_json(issuer.discovery()))
    issuer.answer_discovery(answer(issuer))
    assert (await failure(fetch, source(issuer))).reason is reason
    assert issuer.fetches.keys == 0


KEYS: dict[str, tuple[AnswerOf, Reason]] = {
    "a redirect": (lambda one: Answer.of_redirect(f"{one.url}/elsewhere"), Reason.ISSUER_DOCUMENT_MISSING),
    "over 256 KiB": (big, Reason.ISSUER_KEYS_INVALID),
    "a thousand keys": (thousand, Reason.ISSUER_KEYS_INVALID),
    "no key": (lambda _: Answer.of_json({"keys": []}), Reason.ISSUER_KEYS_INVALID),
    "no key that verifies": (
        lambda one: Answer.of_json({"keys": [one.key.jwk(use="enc")]}),
        Reason.ISSUER_KEYS_INVALID,
    ),
    "a token answer": (lambda _: Answer.of_token(), Reason.ISSUER_KEYS_INVALID),
    "not found": (lambda _: Answer(404), Reason.ISSUER_DOCUMENT_MISSING),
    "server error": (lambda _: Answer(500), Reason.ISSUER_UNREACHABLE),
}


@pytest.mark.parametrize(("answer", "reason"), KEYS.values(), ids=KEYS.keys())
async def test_keys_that_are_no_good_are_told_by_name(
    fetch: IssuerFetch, issuer: StaticIssuer, answer: AnswerOf, reason: Reason
) -> None:
    issuer.script("/elsewhere", Answer.of_json(issuer.key_set()))
    issuer.answer_keys(answer(issuer))
    error = await failure(fetch, source(issuer))
    assert (error.reason, issuer.requests("/elsewhere")) == (reason, [])
    assert issuer.url.removeprefix("https://") in error.message


SLOW: dict[str, Answer] = {
    "not a byte": HANG,
    "a body without end": Answer(headers={"Content-Type": "application/json"}, stream_bytes=1000, then_hang=True),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW.keys())
async def test_a_slow_issuer_is_given_up_after_five_seconds(
    fetch: IssuerFetch, issuer: StaticIssuer, answer: Answer
) -> None:
    issuer.answer_keys(answer)
    began = time.monotonic()
    assert (await failure(fetch, source(issuer))).reason is Reason.ISSUER_UNREACHABLE
    assert 4.5 < time.monotonic() - began < 8


async def test_the_ca_of_a_credential_is_the_only_one_that_counts(issuer: StaticIssuer, environment: Any) -> None:
    """Also where the platform trusts the issuer's CA, a tenant that names another one gets what it asked for."""
    other = environment.pki.ca_path.read_text()
    async with Outbound(LOOPBACK, ca_bundle=issuer.ca_pem) as outbound:
        fetch = fetch_by(outbound)
        assert (await failure(fetch, source(issuer, ca_bundle=other))).reason is Reason.ISSUER_TLS_FAILED
        assert (await failure(fetch, source(issuer, ca_bundle="no PEM"))).reason is Reason.ISSUER_TLS_FAILED
        assert (await fetch.fetch(source(issuer, ca_bundle=None))).jwks


async def test_a_certificate_for_another_host_is_not_taken(fetch: IssuerFetch) -> None:
    with StaticIssuer(certificate_for="issuer.example") as issuer:
        assert (await failure(fetch, source(issuer))).reason is Reason.ISSUER_TLS_FAILED


async def test_a_private_address_needs_the_platform_s_word() -> None:
    async with Outbound(EgressPolicy()) as outbound:
        with StaticIssuer() as issuer:
            error = await failure(fetch_by(outbound), source(issuer))
            assert (error.reason, issuer.fetches) == (Reason.EGRESS_NOT_ALLOWED, Fetches(0, 0))


NO_URLS = {
    "no host": KeySource("https://"),
    "no scheme": KeySource("issuer.example"),
    "an address without a host": KeySource("https://issuer.example", "https://"),
    "an address with a line in it": KeySource("https://issuer.example", "https://127.0.0.1/\r\nHost: x"),
    "an address that is not ASCII": KeySource("https://issuer.example", "https://127.0.0.1:1/ä"),
}


@pytest.mark.parametrize("one", NO_URLS.values(), ids=NO_URLS.keys())
async def test_what_is_no_address_is_a_failure_like_any_other(fetch: IssuerFetch, one: KeySource) -> None:
    assert (await failure(fetch, one)).reason in {
        Reason.ISSUER_DISCOVERY_INVALID,
        Reason.ISSUER_KEYS_INVALID,
        Reason.ISSUER_UNREACHABLE,
    }


async def test_nothing_of_an_answer_is_in_a_message(fetch: IssuerFetch, issuer: StaticIssuer) -> None:
    issuer.answer_discovery(Answer.of_json({"issuer": "https://c4n4ry.example", "jwks_uri": "c4n4ry"}))
    assert "c4n4ry" not in str(await failure(fetch, source(issuer)))
    issuer.mend()
    issuer.answer_keys(Answer(400, {"X": "c4n4ry"}, b"c4n4ry"))
    assert "c4n4ry" not in str(await failure(fetch, source(issuer)))


@pytest.mark.parametrize("code", [403, 404])
async def test_a_cluster_that_tells_nobody_of_its_issuer_is_asked_once(issuer: StaticIssuer, code: int) -> None:
    asked: list[str] = []

    class Cluster:
        async def get(self, path: str) -> dict[str, Any]:
            asked.append(path)
            raise KubernetesError(KubernetesStatus(code))

    cluster: Any = Cluster()
    async with Outbound(LOOPBACK, ca_bundle=issuer.ca_pem) as outbound:
        fetch = IssuerFetch(outbound, cluster, lambda: datetime.now(UTC))
        for _ in range(3):
            await fetch.fetch(source(issuer, ca_bundle=None))
    assert asked == ["/.well-known/openid-configuration"]


async def test_the_keys_of_the_certified_server_are_taken(fetch: IssuerFetch, environment: Any) -> None:
    """oidc-provider, as it discovers itself."""
    found = await fetch.fetch(KeySource(environment.oauth.issuer, ca_bundle=environment.pki.ca_path.read_text()))
    assert key_ids(found.jwks)


@pytest.mark.parametrize("allowed", [True, False])
async def test_plain_http_on_loopback_is_for_development_only(allowed: bool) -> None:
    policy = EgressPolicy(allowed_networks=LOOPBACK.allowed_networks, allow_loopback_http=allowed)
    with ScriptedProvider(tls=False) as plain, StaticIssuer() as issuer:
        document = {"issuer": plain.url, "jwks_uri": f"{plain.url}/keys"}
        plain.script("/.well-known/openid-configuration", Answer.of_json(document))
        plain.script("/keys", Answer.of_json(issuer.key_set()))
        async with Outbound(policy) as outbound:
            fetch = fetch_by(outbound)
            if allowed:
                assert (await fetch.fetch(KeySource(plain.url))).jwks
            else:
                assert (await failure(fetch, KeySource(plain.url))).reason is Reason.EGRESS_NOT_ALLOWED


async def test_requests_say_nothing_but_what_is_needed(fetch: IssuerFetch, issuer: StaticIssuer) -> None:
    await fetch.fetch(source(issuer))
    (request,) = issuer.requests(issuer.keys_path)
    assert (request.method, request.query, request.body) == ("GET", "", b"")
    assert {name.lower() for name, _ in request.headers} == {
        "host", "accept", "accept-encoding", "user-agent", "content-length",
    }  # fmt: skip


async def test_an_issuer_that_is_not_there_is_unreachable(fetch: IssuerFetch) -> None:
    with ScriptedProvider() as gone:
        address = gone.url
    assert (await failure(fetch, KeySource(address))).reason is Reason.ISSUER_UNREACHABLE
