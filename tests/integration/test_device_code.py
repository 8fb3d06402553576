"""Consent without a redirect (RFC 8628): real API server, OAuth server, gateway and operator; a scripted provider only
for what the OAuth server never says.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from support.certificates import authority_of_tests
from support.cluster import message_of, reason_of, status_of
from support.consenting import Team
from support.device_consenting import ARCHIVE, DeviceTeam
from support.gateway import page_text
from support.granted import grants, refresh, works
from support.provider import Answer, Recorded, ScriptedProvider

SECRET = f"{ARCHIVE}-token"
DEVICE = {
    "device_code": "d3vice-c0de-of-the-provider",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://login.example.com/device",
    "expires_in": 600,
    "interval": 1,
}


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Any:
    return gateway_process().start()


@pytest.fixture(scope="module")
def operator(
    operator_process: Callable[..., Any], environment: Any, gateway: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """It trusts the scripted providers too."""
    bundle = tmp_path_factory.mktemp("trust") / "ca.pem"
    bundle.write_text(environment.pki.ca_path.read_text() + authority_of_tests().pem)
    return operator_process(gateway_url=gateway.url, ca_bundle=str(bundle)).start()


@pytest.fixture
def make(cluster: Any, environment: Any, gateway: Any, operator: Any) -> Iterator[Callable[..., DeviceTeam]]:
    made: list[DeviceTeam] = []
    team = Team(cluster, environment, gateway)

    def one(**method: Any) -> DeviceTeam:
        made.append(DeviceTeam(team, **method))
        return made[-1]

    yield one
    for device in made:
        device.close()
    team.close()


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        running.script("/device", Answer.of_json(DEVICE))
        yield running


def scripted(make: Callable[..., DeviceTeam], provider: ScriptedProvider) -> DeviceTeam:
    """A team of that provider; nobody is named there."""
    urls = {"device_url": f"{provider.url}/device", "token_url": f"{provider.url}/token"}
    return make(identity=None, revocation=[], **urls)


def polls_of(provider: ScriptedProvider) -> list[Recorded]:
    return provider.requests("/token")


@pytest.mark.spec("C5", "C1", "C7", "C8", "C13")
def test_a_consent_by_device_code_becomes_a_secret_that_works_and_is_refreshed(
    make: Callable[..., DeviceTeam],
) -> None:
    device = make()
    team = device.team
    status = team.cluster.get("Connection", ARCHIVE)["status"]
    assert "redirectURI" not in status
    assert status["authorizationURL"] == device.url
    visitor = team.visitor()
    code, link = device.shown(visitor)
    assert link == f"{team.oauth.issuer}/device"
    (record,) = team.records(ARCHIVE)
    assert code not in str(record)
    assert "Sign-in Success" in page_text(device.answer(code, link))
    page = device.ended(visitor, "It now works as")
    assert team.person in page_text(page)
    assert code not in page.text
    found = team.cluster.wait_ready(ARCHIVE)
    assert works(team, SECRET)
    assert found["status"]["account"] == team.person
    assert found["metadata"]["finalizers"] == ["lanyard.dev/grant"]
    (record,) = team.records(ARCHIVE)
    assert "record" not in record["data"]
    polls = device.polls()
    assert [one.status for one in polls].count(200) == 1
    assert all(later.at - earlier.at >= 5 for earlier, later in pairwise(polls))
    refresh(team, ARCHIVE)
    assert works(team, SECRET)
    assert len(device.polls()) == len(polls)
    (state,) = grants(team, ARCHIVE)
    assert state["metadata"]["annotations"]["lanyard.dev/grant-generation"] == "2"


@pytest.mark.spec("C4")
def test_only_the_browser_that_began_sees_the_code(make: Callable[..., DeviceTeam]) -> None:
    device = make()
    visitor, other = device.team.visitor(), device.team.visitor()
    code, _ = device.shown(visitor)
    assert code in visitor.get(device.url).text
    page = other.get(device.url)
    assert code not in page.text
    assert "Approve this browser" in page.text
    # The hash of the first browser is in an annotation that others may read; it opens nothing.
    device.team.annotate(None, name=ARCHIVE)
    assert code not in other.get(device.url).text


@pytest.mark.spec("C11")
def test_who_declines_at_the_provider_is_told_and_can_begin_anew(make: Callable[..., DeviceTeam]) -> None:
    device = make()
    visitor = device.team.visitor()
    device.answer(*device.shown(visitor), agree=False)
    device.ended(visitor, "Access was declined")
    device.team.cluster.wait_reason(ARCHIVE, "ConsentDenied")
    visitor.press(visitor.get(device.url), "Authorize again")
    device.answer(*device.shown(visitor))
    device.team.cluster.wait_ready(ARCHIVE)


@pytest.mark.spec("C11")
def test_a_code_that_nobody_enters_expires(make: Callable[..., DeviceTeam]) -> None:
    device = make()
    device.team.oauth.change_client(device.team.name, device_code_ttl=2)
    visitor = device.team.visitor()
    device.begun(visitor)
    assert "Nobody agreed in time" in page_text(device.ended(visitor, "That took too long"))
    device.team.cluster.wait_reason(ARCHIVE, "AuthorizationExpired")
    assert device.polls() == []


@pytest.mark.spec("C4")
def test_an_approval_that_is_taken_back_ends_the_polling(make: Callable[..., DeviceTeam]) -> None:
    device = make()
    visitor = device.team.visitor()
    code, link = device.shown(visitor)
    device.team.annotate(None, name=ARCHIVE)
    device.answer(code, link)
    device.ended(visitor, "Not connected")
    device.team.cluster.wait_reason(ARCHIVE, "AuthorizationOutdated")
    assert device.polls() == []
    assert not grants(device.team, ARCHIVE)


@pytest.mark.spec("C4")
def test_a_connection_that_is_edited_meanwhile_is_another_one(make: Callable[..., DeviceTeam]) -> None:
    device = make()
    visitor = device.team.visitor()
    code, link = device.shown(visitor)
    device.team.cluster.merge("Connection", ARCHIVE, {"spec": {"auth": {"scopes": ["api"]}}})
    device.answer(code, link)
    device.ended(visitor, "Not connected")
    device.team.cluster.wait_reason(ARCHIVE, "AuthorizationOutdated")
    assert device.polls() == []


@pytest.mark.spec("C+1")
def test_an_operator_that_was_killed_goes_on_polling_after_its_restart(
    make: Callable[..., DeviceTeam], operator: Any
) -> None:
    device = make()
    visitor = device.team.visitor()
    code, link = device.shown(visitor)
    operator.kill()
    device.answer(code, link)
    operator.start()
    device.ended(visitor, "It now works as")
    device.team.cluster.wait_ready(ARCHIVE)
    assert works(device.team, SECRET)


@pytest.mark.spec("C5", "C8")
def test_the_provider_s_pace_is_kept_and_its_codes_are_in_no_log(
    make: Callable[..., DeviceTeam], provider: ScriptedProvider, operator: Any
) -> None:
    provider.script("/token", Answer.of_error("slow_down"), Answer.of_token(refresh_token="r3fresh"))
    device = scripted(make, provider)
    visitor = device.team.visitor()
    assert device.shown(visitor) == (DEVICE["user_code"], DEVICE["verification_uri"])
    device.ended(visitor, "It works from now on")
    (asked,) = provider.requests("/device")
    assert asked.form == {"client_id": device.team.name, "scope": "api more"}
    first, second = polls_of(provider)
    assert first.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": DEVICE["device_code"],
    }
    assert first.at - asked.at >= 1
    assert second.at - first.at >= 6
    for process in (operator, device.team.gateway):
        said = process.log.read_text()
        assert str(DEVICE["device_code"]) not in said
        assert str(DEVICE["user_code"]) not in said


@pytest.mark.spec("C11")
@pytest.mark.parametrize(
    ("answer", "text", "reason"),
    [
        pytest.param(Answer.of_error("expired_token"), "That took too long", "AuthorizationExpired", id="expired"),
        pytest.param(Answer.of_error("access_denied"), "Access was declined", "ConsentDenied", id="denied"),
        pytest.param(Answer.of_error("invalid_grant"), "Not connected", "AuthorizationFailed", id="refused"),
    ],
)
def test_a_poll_that_is_refused_ends_the_consent(
    make: Callable[..., DeviceTeam], provider: ScriptedProvider, answer: Answer, text: str, reason: str
) -> None:
    provider.script("/token", answer)
    device = scripted(make, provider)
    visitor = device.team.visitor()
    device.begun(visitor)
    device.ended(visitor, text)
    found = device.team.cluster.wait_reason(ARCHIVE, reason)
    assert status_of(found, "Authorized") == "False"
    assert reason_of(found, "Authorized") == reason
    assert len(polls_of(provider)) == 1
    assert str(DEVICE["user_code"]) not in message_of(found, "Authorized")


@pytest.mark.spec("C11")
def test_a_provider_that_is_away_for_a_moment_ends_nothing(
    make: Callable[..., DeviceTeam], provider: ScriptedProvider
) -> None:
    provider.script("/device", Answer(503), Answer.of_json(DEVICE))
    provider.script("/token", Answer(503), Answer.of_token(refresh_token="r3fresh"))
    device = scripted(make, provider)
    visitor = device.team.visitor()
    device.begun(visitor)
    device.ended(visitor, "It works from now on")
    first, second = polls_of(provider)
    assert second.at - first.at >= 2
