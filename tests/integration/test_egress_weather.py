"""A tenant's token URL does not lead into the platform's own network, unless the platform says so."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.certificates import authority_of_tests
from support.cluster import Cluster, message_of, reason_of, status_of
from support.connecting import asks, from_secret, token_of
from support.provider import Answer, ScriptedProvider

PATH = "/token"
NOTHING_ALLOWED = {"egress_allowed_networks": "", "allow_loopback_http": "false"}


@pytest.fixture(scope="module")
def bundle(environment: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every certificate is trusted here: what is refused is refused for its address."""
    path: Path = tmp_path_factory.mktemp("trust") / "ca.pem"
    path.write_text(environment.pki.ca_path.read_text() + authority_of_tests().pem)
    return str(path)


@pytest.fixture
def make(operator_process: Callable[..., Any], bundle: str) -> Iterator[Callable[..., Any]]:
    """Starts operators that are ended with the test: two must not serve the same objects."""
    made = []

    def make(**settings: str) -> Any:
        process = operator_process(ca_bundle=bundle, **settings).start()
        made.append(process)
        return process

    yield make
    for process in made:
        if process.running:
            process.stop()


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as provider:
        provider.script(PATH, Answer.of_token())
        yield provider


INSIDE = {
    "loopback": "https://127.0.0.1:{port}",
    "all-of-loopback": "https://127.8.9.1:{port}",
    "a-name-of-loopback": "https://localhost:{port}",
    "loopback-as-a-number": "https://2130706433:{port}",
    "loopback-in-ipv6": "https://[::1]:{port}",
    "unspecified": "https://0.0.0.0:{port}",
    "private": "https://10.0.0.1",
    "carrier-grade-nat": "https://100.64.0.1",
    "cloud-metadata": "https://169.254.169.254",
    "plain-http-to-loopback": "http://127.0.0.1:{port}",
}
# Names lead to any IPv6 address, and `clients.egress` looks at that; a team's URL cannot spell one out.
NOT_TAKEN = {
    "mapped-into-ipv6": "https://[::ffff:7f00:1]:{port}",
    "behind-nat64": "https://[64:ff9b::7f00:1]:{port}",
    "private-in-ipv6": "https://[fd00::1]",
    "link-local-in-ipv6": "https://[fe80::1]",
    "with-a-user": "https://a@127.0.0.1:{port}",
    "plain-http": "http://login.example.com",
}


@pytest.mark.spec("C8", "C15", "C11")
def test_a_token_url_that_leads_inside_is_refused_before_anything_is_sent(
    make: Callable[..., Any], cluster: Cluster, provider: ScriptedProvider
) -> None:
    make(**NOTHING_ALLOWED)
    cluster.secret("client", secret="s3cret")
    for name, url in {**INSIDE, **NOT_TAKEN}.items():
        asks(cluster, name, url.format(port=provider.port) + PATH)
    for name in NOT_TAKEN:
        cluster.wait_reason(name, "ParameterInvalid")
    for name in INSIDE:
        found = cluster.wait_reason(name, "EgressNotAllowed")
        assert reason_of(found, "Stalled") == "EgressNotAllowed"
        assert "platform team" in message_of(found, "Ready")
        assert found["status"]["nextRefreshAt"]
    assert provider.requests() == []


@pytest.mark.spec("C8", "C15")
def test_an_address_that_the_platform_wrote_is_not_held_to_the_rule(
    make: Callable[..., Any], cluster: Cluster, provider: ScriptedProvider
) -> None:
    make(**NOTHING_ALLOWED)
    cluster.secret("client", secret="s3cret")
    method = {"name": "clientCredentials", "tokenRequest": {"url": provider.url + PATH}}
    cluster.apply("Connector", cluster.namespace, {"methods": [method]})
    try:
        credentials = {"clientSecret": from_secret("client")}
        cluster.connection("crm", connector=cluster.namespace, auth={"clientId": "app"}, credentials=credentials)
        cluster.wait_ready("crm")
    finally:
        cluster.delete("Connector", cluster.namespace)


@pytest.mark.spec("C15", "C7", "K2")
def test_a_network_that_is_closed_and_opened_again_costs_no_good_token(
    make: Callable[..., Any], cluster: Cluster, provider: ScriptedProvider
) -> None:
    provider.script(PATH, Answer.of_token("f1rst-t0ken"))
    cluster.secret("client", secret="s3cret-one")
    open_to_it = make()
    asks(cluster, "crm", provider.url + PATH)
    cluster.wait_ready("crm")
    open_to_it.stop()

    closed = make(**NOTHING_ALLOWED)
    cluster.secret("client", secret="s3cret-two")
    found = cluster.wait_reason("crm", "EgressNotAllowed", condition="TokenFresh")
    assert status_of(found, "Ready") == "True"
    assert token_of(cluster, "crm") == "f1rst-t0ken"
    closed.stop()

    provider.script(PATH, Answer.of_token("s3cond-t0ken"))
    make()
    cluster.wait("Connection", "crm", lambda one: status_of(one, "TokenFresh") == "True")
    assert token_of(cluster, "crm") == "s3cond-t0ken"
    assert len(provider.requests()) == 2
