"""Whatever a provider answers: one reason, the next step, no loss of a good token, and recovery by itself."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from lanyard.flows.keys import Key, What
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Reason
from lanyard.rules.schedule import fraction
from support.certificates import authority_of_tests
from support.cluster import assert_conditions_coherent, message_of, reason_of, status_of
from support.connecting import asks, assert_nowhere, token_of
from support.provider import HANG, RESET, TRUNCATED, Answer, ScriptedProvider

SAID = "th3-pr0vider-s4ys"
PATH = "/token"
HTML = f"<html><body>{SAID}</body></html>"
Weather = Answer | Callable[[ScriptedProvider], None]


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], environment: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """It trusts the scripted providers too, and does not wait long for them."""
    bundle = tmp_path_factory.mktemp("trust") / "ca.pem"
    bundle.write_text(environment.pki.ca_path.read_text() + authority_of_tests().pem)
    return operator_process(ca_bundle=str(bundle), provider_deadline="2s", retry_configuration="2s,4s").start()


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    """A host of its own: pauses and places are counted by host."""
    with ScriptedProvider() as provider:
        yield provider


def good(token: str = "t0k3n", **changes: Any) -> Answer:
    """A token, and the end of the TLS connection, so that the next request meets the certificate of its time."""
    answer = Answer.of_token(token, **changes)
    return Answer(answer.status, {**answer.headers, "Connection": "close"}, answer.body)


def refusal(status: int, error: str | None = None, **headers: str) -> Answer:
    body: Mapping[str, Any] = {"error": error, "error_description": SAID} if error else {"message": SAID}
    return Answer.of_json(body, status, headers=headers)


def text(status: int) -> Answer:
    return Answer(status, {"Content-Type": "text/plain"}, SAID.encode())


def another_certificate(provider: ScriptedProvider) -> None:
    provider.certify("elsewhere.example")


def expired_certificate(provider: ScriptedProvider) -> None:
    provider.certify(expired=True)


WEATHER = {
    "a refused client": (refusal(401, "invalid_client"), Reason.CLIENT_REJECTED),
    "a refused client with status 400": (refusal(400, "invalid_client"), Reason.CLIENT_REJECTED),
    "401 without JSON": (text(401), Reason.CLIENT_REJECTED),
    "an unknown scope": (refusal(400, "invalid_scope"), Reason.SCOPE_REJECTED),
    "a client without this grant": (refusal(400, "unauthorized_client"), Reason.REQUEST_REJECTED),
    "400 without JSON": (text(400), Reason.REQUEST_REJECTED),
    "an error with status 200": (refusal(200, "invalid_request"), Reason.REQUEST_REJECTED),
    "403": (refusal(403), Reason.TOKEN_ENDPOINT_DENIED),
    "404": (text(404), Reason.TOKEN_ENDPOINT_NOT_FOUND),
    "405": (text(405), Reason.TOKEN_ENDPOINT_NOT_FOUND),
    "429 without a time": (text(429), Reason.PROVIDER_THROTTLED),
    "500": (text(500), Reason.PROVIDER_UNAVAILABLE),
    "500 with an error code": (refusal(500, "server_error"), Reason.PROVIDER_UNAVAILABLE),
    "503": (Answer.of_html(503, HTML), Reason.PROVIDER_UNAVAILABLE),
    "503 with a time": (refusal(503, **{"Retry-After": "1"}), Reason.PROVIDER_UNAVAILABLE),
    "no answer at all": (HANG, Reason.PROVIDER_TIMED_OUT),
    "an answer that comes too late": (Answer.of_json({"access_token": "l4te"}, delay=2.5), Reason.PROVIDER_TIMED_OUT),
    "a connection that is reset": (RESET, Reason.PROVIDER_UNAVAILABLE),
    "an answer that is cut short": (TRUNCATED, Reason.PROVIDER_UNAVAILABLE),
    "a certificate for another name": (another_certificate, Reason.PROVIDER_TLS_FAILED),
    "a certificate out of date": (expired_certificate, Reason.PROVIDER_TLS_FAILED),
    "a redirect": (Answer.of_redirect(f"https://example.com/{SAID}"), Reason.PROVIDER_REDIRECTED),
    "a redirect that keeps the method": (Answer.of_redirect(f"/{SAID}", 308), Reason.PROVIDER_REDIRECTED),
    "a body of 10 MB": (Answer.of_size(), Reason.PROVIDER_ANSWER_INVALID),
    "a login page with status 200": (Answer.of_html(200, HTML), Reason.PROVIDER_ANSWER_INVALID),
    "an empty body with status 200": (Answer(), Reason.PROVIDER_ANSWER_INVALID),
    "JSON without a token": (Answer.of_json({"message": SAID}), Reason.PROVIDER_ANSWER_INVALID),
    "a token of two lines": (Answer.of_token(f"{SAID}\r\nX-Evil: 1"), Reason.PROVIDER_ANSWER_INVALID),
    "a token that is a number": (Answer.of_json({"access_token": 42, "x": SAID}), Reason.PROVIDER_ANSWER_INVALID),
}


@pytest.mark.spec("C11", "C10", "C8", "K2", "C+2")
@pytest.mark.parametrize(("weather", "reason"), WEATHER.values(), ids=WEATHER.keys())
def test_bad_weather_has_its_reason_spares_a_good_token_and_passes_by_itself(
    operator: Any, cluster: Any, provider: ScriptedProvider, weather: Weather, reason: Reason
) -> None:
    """`old` has a token when the weather turns and must renew it then; `new` meets the bad weather first of all."""
    provider.script(PATH, good("f1rst-t0ken"))
    cluster.secret("client", secret="s3cret-one")
    asks(cluster, "old", provider.url + PATH)
    before = cluster.wait_ready("old")
    secret = cluster.get("Secret", "old-token")

    if isinstance(weather, Answer):
        provider.script(PATH, weather)
    else:
        weather(provider)
    cluster.secret("client", secret="s3cret-two")
    asks(cluster, "new", provider.url + PATH)

    new = cluster.wait_reason("new", reason)
    assert status_of(new, "Ready") == "False"
    assert reason_of(new, "Stalled" if CATALOGUE[reason].stalled else "Reconciling") == reason
    assert_says_what_to_do(new, "Ready", reason, provider)
    assert new["status"]["nextRefreshAt"] > new["metadata"]["creationTimestamp"]
    assert not cluster.exists("Secret", "new-token")

    old = cluster.wait_reason("old", reason, condition="TokenFresh")
    assert status_of(old, "Ready") == "True"
    assert old["status"]["expiresAt"] == before["status"]["expiresAt"]
    assert old["status"]["failedAttempts"] >= 1
    assert_says_what_to_do(old, "TokenFresh", reason, provider)
    assert cluster.get("Secret", "old-token") == secret

    provider.certify()
    provider.script(PATH, good("s3cond-t0ken"))
    for name in ("old", "new"):
        cluster.wait("Connection", name, lambda one: status_of(one, "TokenFresh") == "True")
        assert cluster.wait_ready(name)["status"]["failedAttempts"] == 0
        assert token_of(cluster, name) == "s3cond-t0ken"
    assert_nowhere(cluster, operator.log, SAID, "f1rst-t0ken", "s3cond-t0ken", "l4te", "s3cret-one", "s3cret-two")


def assert_says_what_to_do(one: Any, condition: str, reason: Reason, provider: ScriptedProvider) -> None:
    message = message_of(one, condition)
    assert CATALOGUE[reason].hint in message
    assert provider.url.removeprefix("https://") in message
    assert "?" not in message, "every fact is known"


LIFE = {
    "none": ({"expires_in": None}, 3600),
    "zero": ({"expires_in": 0}, 3600),
    "negative": ({"expires_in": -5}, 3600),
    "written as text": ({"expires_in": "1200"}, 1200),
    "a fraction": ({"expires_in": 1200.5}, 1200),
    "prose": ({"expires_in": f"{SAID} minutes"}, 3600),
    "a list": ({"expires_in": [1200]}, 3600),
    "true": ({"expires_in": True}, 3600),
    "longer than ten years": ({"expires_in": 10**12}, 3650 * 86400),
    "longer than anything": ({"expires_in": 10**40}, 3600),
}


@pytest.mark.spec("C7", "C5")
@pytest.mark.parametrize(("answered", "seconds"), LIFE.values(), ids=LIFE.keys())
def test_an_odd_expires_in_becomes_a_life_that_can_be_relied_upon(
    operator: Any, cluster: Any, provider: ScriptedProvider, answered: Mapping[str, Any], seconds: int
) -> None:
    provider.script(PATH, good(**answered))
    cluster.secret("client", secret="s3cret")
    asks(cluster, "crm", provider.url + PATH)
    status = cluster.wait_ready("crm")["status"]
    expires_at = datetime.fromisoformat(status["expiresAt"])
    assert abs((expires_at - datetime.now(UTC)).total_seconds() - seconds) < 10
    assert datetime.fromisoformat(status["nextRefreshAt"]) < expires_at
    assert cluster.data("crm-token")["expires_at"] == status["expiresAt"]
    assert_nowhere(cluster, operator.log, SAID)


@pytest.mark.spec("C5")
@pytest.mark.parametrize(
    ("answered", "published"),
    [
        pytest.param("bearer", "bearer", id="in lower case"),
        pytest.param("MAC", "MAC", id="another one"),
        pytest.param(None, "Bearer", id="none"),
        pytest.param({"x": SAID}, "Bearer", id="an object"),
        pytest.param("", "Bearer", id="an empty one"),
        pytest.param("Be arer\r\n", "Bearer", id="one with a line break"),
    ],
)
def test_an_odd_token_type_is_published_as_a_word(
    operator: Any, cluster: Any, provider: ScriptedProvider, answered: Any, published: str
) -> None:
    provider.script(PATH, good(token_type=answered))
    cluster.secret("client", secret="s3cret")
    asks(cluster, "crm", provider.url + PATH)
    cluster.wait_ready("crm")
    assert cluster.data("crm-token")["token_type"] == published
    assert cluster.data("crm-token")["authorization_header"] == "Bearer t0k3n"


@pytest.mark.spec("C7", "C11")
@pytest.mark.parametrize("minutes", [-2, 2], ids=["behind", "ahead"])
def test_a_provider_whose_clock_is_off_is_told_and_its_tokens_are_used(
    operator: Any, cluster: Any, provider: ScriptedProvider, minutes: int
) -> None:
    wrong = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    answer = good()
    provider.script(PATH, Answer(answer.status, {**answer.headers, "Date": wrong}, answer.body))
    cluster.secret("client", secret="s3cret")
    asks(cluster, "crm", provider.url + PATH)
    found = cluster.wait_ready("crm")
    assert (status_of(found, "TokenFresh"), reason_of(found, "TokenFresh")) == ("True", "ClockSkew")
    assert "NTP" in message_of(found, "TokenFresh")
    # expires_in counts from the answer, whatever the clock there says.
    left = datetime.fromisoformat(found["status"]["expiresAt"]) - datetime.now(UTC)
    assert 3580 < left.total_seconds() <= 3600


@pytest.mark.spec("C8", "C7")
def test_a_refresh_token_in_the_answer_is_dropped(operator: Any, cluster: Any, provider: ScriptedProvider) -> None:
    provider.script(PATH, good(refresh_token="r3fresh-t0ken", id_token="1d-t0ken", expires_in=4))
    cluster.secret("client", secret="s3cret")
    asks(cluster, "crm", provider.url + PATH)
    cluster.wait_ready("crm")
    provider.wait_for(2, PATH)
    assert {request.form["grant_type"] for request in provider.requests(PATH)} == {"client_credentials"}
    assert not any(b"r3fresh" in request.body for request in provider.requests(PATH))
    assert {"refresh_token", "id_token"}.isdisjoint(cluster.data("crm-token"))
    assert "r3fresh-t0ken" not in cluster.data("crm-token").values()
    assert_nowhere(cluster, operator.log, "r3fresh-t0ken", "1d-t0ken")


def early_name(cluster: Any) -> str:
    """A Connection that comes back soon after a pause: the spread over ten seconds is by name."""
    names = (f"other-{number}" for number in range(10_000))
    return next(name for name in names if fraction(str(Key(What.CONNECTION, cluster.namespace, name))) < 0.05)


@pytest.mark.spec("C11", "C+2")
@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("seen_by", ["one without a token", "one with a token"])
def test_a_host_that_asks_for_a_pause_is_asked_by_nobody_before_it_is_over(
    operator: Any, cluster: Any, provider: ScriptedProvider, form: str, seen_by: str
) -> None:
    other = early_name(cluster)
    provider.script(PATH, good("f1rst-t0ken"))
    cluster.secret("client", secret="s3cret-one")
    cluster.secret("client-of-other", secret="s3cret-other")
    source = {"secretRef": {"name": "client-of-other", "key": "secret"}}
    if seen_by == "one with a token":
        asks(cluster, other, provider.url + PATH, source=source)
        cluster.wait_ready(other)

    now = datetime.now(UTC)
    # A date says whole seconds only.
    after = "3" if form == "seconds" else format_datetime(now + timedelta(seconds=4), usegmt=True)
    provider.forget()
    provider.script(PATH, refusal(429, **{"Retry-After": after}))
    asks(cluster, "first", provider.url + PATH)
    first = cluster.wait_reason("first", "ProviderThrottled")
    assert reason_of(first, "Reconciling") == "ProviderThrottled"
    assert datetime.fromisoformat(first["status"]["nextRefreshAt"]) >= now + timedelta(seconds=2)
    provider.script(PATH, good("s3cond-t0ken"))

    if seen_by == "one with a token":
        cluster.secret("client-of-other", secret="s3cret-two")
        time.sleep(0.5)
        waiting = cluster.get("Connection", other)
        assert status_of(waiting, "Ready") == "True"
    else:
        asks(cluster, other, provider.url + PATH, source=source)
        waiting = cluster.wait_reason(other, "ProviderThrottled")
        assert reason_of(waiting, "Reconciling") == "ProviderThrottled"
        assert datetime.fromisoformat(waiting["status"]["nextRefreshAt"]) >= now + timedelta(seconds=2)
    for name in ("first", other):
        cluster.wait("Secret", f"{name}-token", lambda _, name=name: token_of(cluster, name) == "s3cond-t0ken")
        cluster.wait_ready(name)
    refused, *later = provider.requests(PATH)
    assert len(later) == 2
    # To the second that a date has, by clocks that agree.
    assert min(request.at for request in later) - refused.at >= 2.9


@pytest.mark.spec("C7", "C+2")
def test_an_expiry_is_seen_while_the_host_takes_no_requests(
    operator: Any, cluster: Any, provider: ScriptedProvider
) -> None:
    """Nobody may be told that a token is live which is not, although nothing can be asked yet."""
    provider.script(PATH, good(expires_in=3))
    cluster.secret("client", secret="s3cret")
    asks(cluster, "brief", provider.url + PATH)
    cluster.wait_ready("brief")
    provider.script(PATH, refusal(429, **{"Retry-After": "6"}))
    cluster.secret("client-of-other", secret="s3cret-other")
    asks(cluster, "other", provider.url + PATH, source={"secretRef": {"name": "client-of-other", "key": "secret"}})
    cluster.wait_reason("other", "ProviderThrottled")
    provider.script(PATH, good("s3cond-t0ken"))
    brief = cluster.wait("Connection", "brief", lambda one: status_of(one, "Ready") == "False", seconds=4.5)
    assert_conditions_coherent(brief)
    assert status_of(brief, "TokenFresh") == "False"


@pytest.mark.spec("C7", "K8")
def test_a_host_gets_no_more_requests_at_once_than_its_connector_says(
    operator: Any, cluster: Any, provider: ScriptedProvider
) -> None:
    provider.script(PATH, Answer(200, {"Content-Type": "application/json"}, b'{"access_token": "t0k3n"}', delay=0.2))
    cluster.secret("client", secret="s3cret")
    names = [f"crm-{number}" for number in range(40)]
    for name in names:
        asks(cluster, name, provider.url + PATH)
    for name in names:
        cluster.wait_ready(name)
    assert len(provider.requests(PATH)) == 40
    assert provider.peak <= 16
    assert provider.peak >= 8, "they are not asked for one after the other either"
