"""The provider side of the environment does what the tests of the operator rely on."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from localenv.environment import Environment
from localenv.oauth_server import OAuthServer
from localenv.proxy import FaultProxy
from support.certificates import authority_of_tests
from support.provider import HANG, RESET, TRUNCATED, Answer, ScriptedProvider

TOKEN = {"path_regex": "^/token$"}


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    """An environment of their own, without Kubernetes: these tests stop the server and break its clients."""
    with Environment(kubernetes=False, vault=False, oauth=False) as environment:
        yield environment


@pytest.fixture(scope="module")
def server(environment: Environment) -> Iterator[OAuthServer]:
    with OAuthServer(environment.processes, environment.pki) as server:
        yield server


@pytest.fixture(scope="module")
def running_proxy(environment: Environment, server: OAuthServer) -> Iterator[FaultProxy]:
    with FaultProxy(environment.processes, environment.pki, "proxy", server.issuer) as proxy:
        yield proxy


@pytest.fixture
def proxy(running_proxy: FaultProxy) -> Iterator[FaultProxy]:
    yield running_proxy
    running_proxy.pass_through()


@pytest.fixture
def http(environment: Environment) -> Iterator[httpx.Client]:
    context = authority_of_tests().trusting_context()
    context.load_verify_locations(environment.pki.ca_path)
    with httpx.Client(verify=context, trust_env=False, timeout=5) as client:
        yield client


@pytest.fixture
def client_id(server: OAuthServer) -> str:
    name = f"client-{uuid.uuid4().hex[:8]}"
    server.add_client(name, secret="first", scopes=["read", "write"])
    return name


def post(http: httpx.Client, url: str, auth: tuple[str, str] | None = None, **form: str) -> httpx.Response:
    return http.post(url, data={"grant_type": "client_credentials", **form}, auth=auth)


class TestOAuthServer:
    @pytest.mark.parametrize(
        ("method", "sent_as"),
        [
            pytest.param("client_secret_basic", "header", id="the secret in the header"),
            pytest.param("client_secret_post", "form", id="the secret in the form"),
        ],
    )
    def test_a_client_secret_is_exchanged_for_a_live_token(
        self, server: OAuthServer, http: httpx.Client, method: str, sent_as: str
    ) -> None:
        # Characters that RFC 6749 section 2.3.1 has form-encoded before the header is built.
        server.add_client("s p:ace", secret="p+l/u=s", auth_method=method, scopes=["read"], ttl=77)
        secret = {"client_id": "s p:ace", "client_secret": "p+l/u=s"}
        auth = ("s+p%3Aace", "p%2Bl%2Fu%3Ds") if sent_as == "header" else None
        answer = post(http, server.token_url, auth, scope="read", **({} if auth else secret))
        assert answer.status_code == 200
        assert answer.json()["expires_in"] == 77
        assert answer.json()["scope"] == "read"
        me = server.me(answer.json()["access_token"])
        assert (me.status_code, me.json()["client_id"], me.json()["scope"]) == (200, "s p:ace", "read")

    def test_a_signed_assertion_is_taken_once(self, server: OAuthServer, http: httpx.Client) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        public |= {"kid": "k1", "alg": "ES256", "use": "sig"}
        server.add_client("signer", jwks={"keys": [public]}, auth_method="private_key_jwt")
        now = int(time.time())
        claims = {"iss": "signer", "sub": "signer", "aud": server.token_url, "iat": now, "exp": now + 60, "jti": "once"}
        form = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"}),
        }
        assert post(http, server.token_url, **form).status_code == 200
        assert post(http, server.token_url, **form).json()["error"] == "invalid_client"

    def test_a_user_password_is_exchanged_and_a_refresh_token_comes_only_where_allowed(
        self, server: OAuthServer, http: httpx.Client
    ) -> None:
        server.add_user("ann", "secret word")
        server.add_client("app", secret="s", scopes=["read"], grant_types=["password"])
        form = {"grant_type": "password", "username": "ann", "password": "secret word", "scope": "read"}
        answer = post(http, server.token_url, ("app", "s"), **form).json()
        assert "refresh_token" not in answer
        assert server.me(answer["access_token"]).json()["sub"] == "ann"
        refused = post(http, server.token_url, ("app", "s"), **form | {"password": "other"})
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")

        server.change_client("app", grant_types=["password", "refresh_token"])
        refresh = post(http, server.token_url, ("app", "s"), **form).json()["refresh_token"]
        again = {"grant_type": "refresh_token", "refresh_token": refresh}
        assert server.me(post(http, server.token_url, ("app", "s"), **again).json()["access_token"]).is_success
        assert post(http, server.token_url, ("app", "s"), **again).json()["error"] == "invalid_grant"

    def test_a_scope_is_refused_or_silently_withheld(self, server: OAuthServer, http: httpx.Client) -> None:
        server.add_client("scoped", secret="s", scopes=["read", "write"], withheld_scopes=["write"])
        refused = post(http, server.token_url, ("scoped", "s"), scope="read admin")
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
        assert post(http, server.token_url, ("scoped", "s"), scope="read write").json()["scope"] == "read"

    def test_a_rotated_secret_ends_the_old_one_at_once(
        self, server: OAuthServer, http: httpx.Client, client_id: str
    ) -> None:
        token = post(http, server.token_url, (client_id, "first")).json()["access_token"]
        server.rotate_secret(client_id, "second")
        refused = post(http, server.token_url, (client_id, "first"))
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
        assert post(http, server.token_url, (client_id, "second")).status_code == 200
        assert server.me(token).status_code == 200
        server.remove_client(client_id)
        assert post(http, server.token_url, (client_id, "second")).status_code == 401

    @pytest.mark.parametrize("token_format", ["opaque", "jwt"])
    def test_a_token_dies_at_its_time(self, server: OAuthServer, http: httpx.Client, token_format: str) -> None:
        server.add_client("brief", secret="s", ttl=1, token_format=token_format)
        token = post(http, server.token_url, ("brief", "s")).json()["access_token"]
        assert len(token.split(".")) == (3 if token_format == "jwt" else 1)
        assert server.me(token).status_code == 200
        time.sleep(2.1)
        assert server.me(token).status_code == 401
        assert server.me("never-issued").status_code == 401

    def test_a_token_is_introspected_and_revoked(self, server: OAuthServer, http: httpx.Client, client_id: str) -> None:
        token = post(http, server.token_url, (client_id, "first"), scope="read").json()["access_token"]
        auth = (client_id, "first")
        assert http.post(server.introspection_url, data={"token": token}, auth=auth).json()["active"] is True
        assert http.post(server.revocation_url, data={"token": token}, auth=auth).status_code == 200
        assert http.post(server.introspection_url, data={"token": token}, auth=auth).json() == {"active": False}
        assert server.me(token).status_code == 401

    def test_requests_are_counted_by_client_grant_and_status(
        self, server: OAuthServer, http: httpx.Client, client_id: str
    ) -> None:
        before = server.marker()
        post(http, server.token_url, (client_id, "first"))
        post(http, server.token_url, (client_id, "wrong"))
        post(http, server.token_url, ("nobody", "x"))
        assert server.count(since=before) == 3
        assert server.count(since=before, client_id=client_id, grant_type="client_credentials", status=200) == 1
        assert [seen.error for seen in server.requests(since=before)] == ["", "invalid_client", "invalid_client"]
        assert server.count(since=before, client_id="nobody") == 1

    def test_a_restart_keeps_address_and_clients(self, server: OAuthServer, http: httpx.Client, client_id: str) -> None:
        issuer = server.issuer
        server.stop()
        with pytest.raises(httpx.ConnectError):
            post(http, server.token_url, (client_id, "first"))
        server.start()
        assert server.issuer == issuer
        assert post(http, server.token_url, (client_id, "first")).status_code == 200

    def test_a_client_that_the_server_cannot_take_is_refused(self, server: OAuthServer) -> None:
        with pytest.raises(ValueError, match="client_secret"):
            server.add_client("incomplete")


class TestFaultProxy:
    @pytest.fixture
    def ask(
        self, proxy: FaultProxy, server: OAuthServer, http: httpx.Client, client_id: str
    ) -> Callable[[], int | str]:
        def ask() -> int | str:
            try:
                return post(http, f"{proxy.url}/token", (client_id, "first")).status_code
            except httpx.HTTPError as error:
                return type(error).__name__

        assert ask() == 200
        server.forget_requests()
        return ask

    def test_requests_pass_unchanged_and_are_logged(
        self, proxy: FaultProxy, http: httpx.Client, client_id: str
    ) -> None:
        before = proxy.marker()
        answer = http.get(f"{proxy.url}/.well-known/openid-configuration?x=%2F+a", headers={"User-Agent": "me/1"})
        assert answer.json()["token_endpoint"].endswith("/token")
        (entry,) = proxy.log(before)
        assert (entry.method, entry.path, entry.user_agent, entry.status, entry.fault) == (
            "GET",
            "/.well-known/openid-configuration?x=%2F+a",
            "me/1",
            200,
            "",
        )

    def test_an_outage_refuses_connections_until_it_ends(self, proxy: FaultProxy, ask: Callable[[], int | str]) -> None:
        proxy.refuse()
        assert [ask(), ask()] == ["ConnectError", "ConnectError"]
        proxy.pass_through()
        assert ask() == 200

    def test_a_failure_is_answered_as_often_as_asked(
        self, proxy: FaultProxy, server: OAuthServer, http: httpx.Client, client_id: str
    ) -> None:
        server.forget_requests()
        proxy.fail(429, 2, TOKEN, headers={"Retry-After": "7"})
        answers = [post(http, f"{proxy.url}/token", (client_id, "first")) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [429, 429, 200]
        assert answers[0].headers["Retry-After"] == "7"
        assert answers[0].json()["reason"] == "TooManyRequests"
        assert server.count() == 1

    def test_a_dropped_answer_has_reached_the_server(
        self, proxy: FaultProxy, server: OAuthServer, ask: Callable[[], int | str]
    ) -> None:
        proxy.drop_answer(TOKEN)
        assert ask() == "RemoteProtocolError"
        assert server.count(status=200) == 1
        proxy.reset(TOKEN)
        assert ask() == "RemoteProtocolError"
        assert server.count() == 1
        assert ask() == 200

    @pytest.mark.parametrize(("when", "reached"), [("before", 0), ("after", 1)])
    def test_a_held_request_waits_for_its_release(
        self, proxy: FaultProxy, server: OAuthServer, ask: Callable[[], int | str], when: str, reached: int
    ) -> None:
        proxy.hold(TOKEN, when)
        answers: list[int | str] = []
        thread = threading.Thread(target=lambda: answers.append(ask()))
        thread.start()
        proxy.wait_parked()
        deadline = time.monotonic() + 5
        while server.count() < reached and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (server.count(), answers) == (reached, [])
        proxy.release()
        thread.join()
        assert (answers, server.count()) == ([200], 1)

    def test_a_watch_is_answered_with_gone_in_both_ways(self, proxy: FaultProxy, http: httpx.Client) -> None:
        url = f"{proxy.url}/apis/lanyard.dev/v1alpha1/connections"
        proxy.gone("http", count=1)
        proxy.gone("stream", count=1)
        first, second, third = (http.get(url, params={"watch": "true"}) for _ in range(3))
        assert (first.status_code, first.json()["reason"]) == (410, "Expired")
        assert (second.status_code, second.json()["type"], second.json()["object"]["code"]) == (200, "ERROR", 410)
        assert third.status_code == 404

    def test_a_stream_comes_through_as_it_is_written_and_can_be_cut(
        self, environment: Environment, tmp_path: Path, http: httpx.Client
    ) -> None:
        upstream_ca = tmp_path / "upstream.crt"
        upstream_ca.write_text(authority_of_tests().pem)
        parts = environment.processes, environment.pki, "stream"
        with ScriptedProvider() as upstream, FaultProxy(*parts, upstream.url, upstream_ca=upstream_ca) as proxy:
            upstream.script("/watch", Answer(stream_bytes=1000, then_hang=True))
            with http.stream("GET", f"{proxy.url}/watch") as response:
                chunks = response.iter_raw()
                assert len(next(chunks)) == 1000
                assert proxy.log()[-1].status == 200
                proxy.cut()
                with pytest.raises(httpx.HTTPError):
                    next(chunks)
            upstream.script("/list", Answer.of_size(20_000_000))
            assert len(http.get(f"{proxy.url}/list").content) == 20_000_000

    def test_a_wrong_control_is_refused(self, proxy: FaultProxy) -> None:
        with pytest.raises(ValueError, match="method and path_regex"):
            proxy.fail(500, match={"path": "/token"})  # type: ignore[dict-item]


class TestScriptedProvider:
    def test_the_request_is_recorded_as_sent(self, http: httpx.Client) -> None:
        with ScriptedProvider() as provider:
            provider.script("/token", Answer.of_token(expires_in="3600"))
            answer = http.post(f"{provider.url}/token?a=%20b", content=b"x=1&y=", headers={"X-Case": "Kept"})
            assert answer.json()["expires_in"] == "3600"
            (request,) = provider.requests("/token")
            assert (request.method, request.query, request.body) == ("POST", "a=%20b", b"x=1&y=")
            assert ("X-Case", "Kept") in request.headers
            assert request.form == {"x": "1", "y": ""}

    def test_answers_come_in_turn_and_the_last_stays(self, http: httpx.Client) -> None:
        with ScriptedProvider(tls=False) as provider:
            provider.script("/t", Answer.of_error("slow_down", 429), Answer.of_html(), Answer(503))
            assert [http.get(f"{provider.url}/t").status_code for _ in range(4)] == [429, 200, 503, 503]
            provider.script("/t", lambda request: Answer(200, body=request.header("x-number").encode()))
            assert http.get(f"{provider.url}/t", headers={"X-Number": "5"}).text == "5"
            assert http.get(f"{provider.url}/other").status_code == 404

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            pytest.param(RESET, httpx.ReadError, id="a reset"),
            pytest.param(HANG, httpx.ReadTimeout, id="no byte at all"),
            pytest.param(TRUNCATED, httpx.RemoteProtocolError, id="a cut inside the body"),
            pytest.param(Answer(delay=30), httpx.ReadTimeout, id="an answer that comes too late"),
        ],
    )
    def test_faults_below_http_are_seen_as_such(self, http: httpx.Client, answer: Answer, error: type) -> None:
        with ScriptedProvider(tls=False) as provider:
            provider.script("/t", answer)
            with pytest.raises(error):
                http.get(f"{provider.url}/t", timeout=0.3)
            assert len(provider.requests("/t")) == 1

    @pytest.mark.parametrize(
        "certificate",
        [
            pytest.param({"certificate_for": "elsewhere.example"}, id="another name"),
            pytest.param({"expired": True}, id="out of date"),
        ],
    )
    def test_a_wrong_certificate_is_refused_before_anything_is_sent(
        self, http: httpx.Client, certificate: dict[str, str | bool]
    ) -> None:
        with ScriptedProvider(**certificate) as provider:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                http.get(provider.url)
            assert provider.requests() == []

    def test_requests_open_at_the_same_time_are_counted(self) -> None:
        with ScriptedProvider(tls=False) as provider:
            provider.script("/t", Answer(delay=0.3))
            threads = [threading.Thread(target=httpx.get, args=(f"{provider.url}/t",)) for _ in range(3)]
            for thread in threads:
                thread.start()
            provider.wait_for(3, "/t")
            for thread in threads:
                thread.join()
            assert provider.peak == 3
