"""Tokens of Lanyard's own at a running gateway: published keys, introspection, and revocation at all replicas."""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import pytest

from support.cluster import Cluster
from support.consenting import SECRETS
from support.federating import ASSERTION_TYPE, FederationTeam
from support.issuing import SUBJECT, StaticIssuer

INTROSPECT = "/oauth/introspect"
REVOKE = "/oauth/revoke"
INACTIVE = {"active": False}
DOCUMENTS = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


@pytest.fixture
def team(federation_team: FederationTeam, issuer: StaticIssuer) -> FederationTeam:
    """One whose workload gets a token."""
    federation_team.trust()
    federation_team.publish_keys()
    federation_team.until_taken(issuer.token())
    return federation_team


@pytest.fixture
def other(
    kubernetes: Any, environment: Any, gateway: Any, issuer: StaticIssuer, team: FederationTeam
) -> Iterator[FederationTeam]:
    """A team in another namespace, of the same issuer."""
    with kubernetes.client() as client:
        name = f"t-{uuid.uuid4().hex[:8]}"
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        assert client.post("/api/v1/namespaces", json=namespace).status_code == 201
        here = FederationTeam(Cluster(client, name), environment, gateway, issuer)
        here.trust(subject="workload:other")
        here.until_taken(issuer.token(sub="workload:other"))
        yield here
        here.close()
        client.delete(f"/api/v1/namespaces/{name}")


def token(team: FederationTeam, issuer: StaticIssuer, subject: str = SUBJECT) -> str:
    text: str = team.present(issuer.token(sub=subject)).json()["access_token"]
    return text


def ask(team: FederationTeam, about: str, *, proof: str | None, at: str | None = None, **form: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {proof}"} if proof is not None else {}
    return team.client.post((at or team.gateway.url) + INTROSPECT, data={"token": about, **form}, headers=headers)


def revoke(team: FederationTeam, text: str) -> httpx.Response:
    return team.client.post(team.url(REVOKE), data={"token": text})


class TestMetadata:
    @pytest.mark.parametrize("path", DOCUMENTS)
    def test_the_document_leads_to_what_answers(self, team: FederationTeam, issuer: StaticIssuer, path: str) -> None:
        answer = team.client.get(team.url(path))
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "public, max-age=900"
        assert "Pragma" not in answer.headers
        found = answer.json()
        assert found["issuer"] == team.gateway.url
        form = team.reference_form(issuer.token())
        given = team.client.post(found["token_endpoint"], data={k: v for k, v in form.items() if v is not None})
        assert given.status_code == 200
        assert team.client.post(found["introspection_endpoint"]).status_code == 400
        assert team.client.post(found["revocation_endpoint"]).status_code == 400

    def test_a_tenant_s_document_names_its_own_token_endpoint(self, team: FederationTeam) -> None:
        found = team.client.get(team.url(f"/{team.name}/v2.0/.well-known/openid-configuration")).json()
        assert found["token_endpoint"] == team.url(team.entra_path)
        assert found["issuer"] == team.gateway.url

    @pytest.mark.spec("F1")
    def test_a_token_is_verified_with_what_is_published(self, team: FederationTeam, issuer: StaticIssuer) -> None:
        answer = team.client.get(team.client.get(team.url(DOCUMENTS[0])).json()["jwks_uri"])
        assert answer.headers["Cache-Control"] == "public, max-age=900"
        text = token(team, issuer)
        key = jwt.PyJWKSet.from_dict(answer.json())[jwt.get_unverified_header(text)["kid"]]
        claims = jwt.decode(text, key, algorithms=["ES256"], audience=f"{team.gateway.url}/{team.name}")
        assert claims["client_id"] == team.client_id()
        assert all("d" not in one for one in answer.json()["keys"]), "the private half stays where it is"

    @pytest.mark.parametrize("path", [*DOCUMENTS, "/oauth/jwks"])
    def test_it_is_read_and_not_written(self, team: FederationTeam, path: str) -> None:
        answer = team.client.post(team.url(path), data={})
        assert (answer.status_code, answer.json()["error"]) == (405, "invalid_request")
        assert "GET" in answer.headers["Allow"]


class TestIntrospection:
    def test_an_application_is_told_of_its_own_token(self, team: FederationTeam, issuer: StaticIssuer) -> None:
        text = token(team, issuer)
        answer = ask(team, text, proof=text)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        claims = jwt.decode(text, options={"verify_signature": False})
        told = answer.json()
        assert told["active"] is True
        same = ("iss", "sub", "aud", "client_id", "namespace", "exp", "iat", "jti")
        assert {name: told[name] for name in same} == {name: claims[name] for name in same}

    def test_an_assertion_is_proof_too(self, team: FederationTeam, issuer: StaticIssuer) -> None:
        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": issuer.token()}
        answer = ask(team, token(team, issuer), proof=None, client_id=team.client_id(), **form)
        assert answer.json()["active"] is True
        wrong = ask(team, token(team, issuer), proof=None, **form | {"client_assertion": issuer.token(sub="nobody")})
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")

    def test_a_stranger_is_told_nothing(
        self, team: FederationTeam, other: FederationTeam, issuer: StaticIssuer
    ) -> None:
        theirs = token(other, issuer, "workload:other")
        assert ask(other, theirs, proof=theirs).json()["active"] is True
        assert ask(team, token(team, issuer), proof=theirs).json() == INACTIVE
        assert ask(team, theirs, proof=token(team, issuer)).json() == INACTIVE

    def test_who_asks_has_to_prove_it(self, team: FederationTeam, issuer: StaticIssuer) -> None:
        text = token(team, issuer)
        nobody = ask(team, text, proof=None)
        assert (nobody.status_code, nobody.json()["error"]) == (401, "invalid_client")
        assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="lanyard"'
        wrong = ask(team, text, proof="x")
        assert wrong.status_code == 401
        assert wrong.headers["WWW-Authenticate"] == 'Bearer realm="lanyard", error="invalid_token"'
        foreign = ask(team, text, proof=issuer.token())
        assert foreign.status_code == 401, "a JWT of somebody else is no token of ours"
        basic = team.client.post(team.url(INTROSPECT), data={"token": text}, auth=("id", "secret"))
        assert basic.status_code == 401
        both = ask(team, text, proof=text, client_assertion=issuer.token(), client_assertion_type=ASSERTION_TYPE)
        assert (both.status_code, both.json()["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize(
        "body", [b"", b"token=a&token=b", b"token=", b"token=%ff", b"x" * 40_000], ids=lambda body: str(body[:20])
    )
    @pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
    def test_what_is_no_question_is_answered_in_json(self, team: FederationTeam, path: str, body: bytes) -> None:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = team.client.post(team.url(path), content=body, headers=kind)
        assert answer.status_code == (413 if len(body) > 32 * 1024 else 400)
        assert answer.json()["error"] == "invalid_request"
        assert team.client.get(team.url(path)).status_code == 405
        assert team.client.post(team.url(path), json={"token": "x"}).status_code == 400


class TestRevocation:
    @pytest.mark.spec("F9")
    def test_a_revoked_token_is_dead_at_every_gateway(
        self, team: FederationTeam, issuer: StaticIssuer, gateway_process: Callable[..., Any]
    ) -> None:
        first, second = token(team, issuer), token(team, issuer)
        assert revoke(team, first).status_code == 200
        assert ask(team, first, proof=second).json() == INACTIVE
        assert ask(team, second, proof=second).json()["active"] is True
        assert ask(team, second, proof=first).status_code == 401
        replica = gateway_process(gateway_url=team.gateway.url).start()
        at = replica.base
        team.until(
            lambda: ask(team, first, proof=second, at=at),
            lambda answer: answer.status_code == 200 and answer.json() == INACTIVE,
        )
        assert ask(team, second, proof=second, at=at).json()["active"] is True

    def test_the_mark_says_nothing_and_goes_with_the_token(self, team: FederationTeam, issuer: StaticIssuer) -> None:
        text = token(team, issuer)
        claims = jwt.decode(text, options={"verify_signature": False})

        def marks() -> dict[str, Any]:
            listed = team.cluster.client.get(SECRETS, params={"labelSelector": "lanyard.dev/spent=revoked"})
            return {one["metadata"]["name"]: one for one in listed.json()["items"]}

        before = marks()
        assert revoke(team, text).status_code == 200
        assert revoke(team, text).status_code == 200
        [made] = [one for name, one in marks().items() if name not in before]
        assert not made.get("data")
        until = made["metadata"]["annotations"]["lanyard.dev/spent-until"]
        assert until == jwt_time(claims["exp"])
        assert claims["jti"] not in json.dumps(made)
        assert team.client_id() not in json.dumps(made)

    @pytest.mark.parametrize("text", ["x", "a.b.c", "é", "x" * 9000])
    def test_anything_else_is_answered_like_a_token(self, team: FederationTeam, text: str) -> None:
        """RFC 7009 2.2: the client cannot do anything about it."""
        answer = revoke(team, text)
        assert (answer.status_code, answer.json()) == (200, {})

    def test_the_audit_log_says_whose_token_it_was(self, team: FederationTeam, issuer: StaticIssuer) -> None:
        text = token(team, issuer)
        revoke(team, text)
        lines = [json.loads(line) for line in team.gateway.log.read_text().splitlines() if '"revoke token"' in line]
        [line] = [line for line in lines if line["uid"] == team.client_id()]
        assert line["object"] == f"Connection/{team.name}/crm"
        assert line["token_id"] == jwt.decode(text, options={"verify_signature": False})["jti"]
        assert text not in team.gateway.log.read_text()

    @pytest.mark.spec("F9")
    def test_a_token_dies_with_its_credential_for_who_asks(self, team: FederationTeam, issuer: StaticIssuer) -> None:
        team.trust("second", subject="workload:second", displayName="second")
        team.until_taken(issuer.token(sub="workload:second"))
        first, second = token(team, issuer), token(team, issuer, "workload:second")
        assert ask(team, first, proof=second).json()["active"] is True
        team.distrust()
        team.until(lambda: ask(team, first, proof=second), lambda answer: answer.json() == INACTIVE)
        key = jwt.PyJWKSet.from_dict(team.client.get(team.url("/oauth/jwks")).json())
        kid = jwt.get_unverified_header(first)["kid"]
        assert jwt.decode(first, key[kid], algorithms=["ES256"], audience=f"{team.gateway.url}/{team.name}"), (
            "whoever asks nobody takes it until it ends"
        )


def jwt_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
