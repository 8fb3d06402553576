"""No value that a Connection gives can leave the place that the connector has for it."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanyard.api.connector import Parameter
from lanyard.connectors.parameters import accept
from lanyard.connectors.selection import plan_for
from lanyard.errors import SpecError
from lanyard.reasons import Reason
from support.plans import connection, connector, token_method

FREE = ".*"  # the most careless pattern that a platform team can write


def parameter(**members: object) -> Parameter:
    return Parameter.model_validate(members, extra="forbid")


HOSTS = parameter(type="hostname", allowedHosts=["*.example.com", "login.example.org", "vpn.example.org:8443"])


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        pytest.param("acme.example.com", "acme.example.com", id="a host below a wildcard is taken"),
        pytest.param("a.b.example.com", "a.b.example.com", id="a host two below a wildcard is taken"),
        pytest.param("ACME.Example.com", "acme.example.com", id="case does not matter and is folded"),
        pytest.param("login.example.org", "login.example.org", id="a host that is named is taken"),
        pytest.param("acme.example.com:443", "acme.example.com:443", id="the default port is the same place"),
        pytest.param("vpn.example.org:8443", "vpn.example.org:8443", id="a port that is named is taken"),
        pytest.param("vpn.example.org", None, id="another port than the named one is not"),
        pytest.param("example.com", None, id="the domain of a wildcard is not below it"),
        pytest.param("evilexample.com", None, id="a name that only ends alike is not below it"),
        pytest.param("acme.example.com.evil.net", None, id="a name that only begins alike is not"),
        pytest.param("acme.example.com:8443", None, id="a port that nobody allowed is refused"),
        pytest.param("evil.net/.example.com", None, id="a slash does not end the host early"),
        pytest.param("evil.net#.example.com", None, id="a fragment does not end the host early"),
        pytest.param("evil.net?.example.com", None, id="a query does not end the host early"),
        pytest.param("evil.net\\.example.com", None, id="a backslash does not end the host early"),
        pytest.param("user@acme.example.com", None, id="user information is refused"),
        pytest.param("evil.net%2f.example.com", None, id="percent-encoding is refused"),
        pytest.param("acme.example.com.", None, id="a trailing dot is refused"),
        pytest.param("acme..example.com", None, id="an empty label is refused"),
        pytest.param("acmé.example.com", None, id="letters beyond ASCII are refused"),
        pytest.param("acme。example.com", None, id="a full stop of another script is refused"),
        pytest.param("acme.example.com\n", None, id="a line break is refused"),
        pytest.param(" acme.example.com", None, id="a blank is refused"),
        pytest.param("-acme.example.com", None, id="a label does not begin with a hyphen"),
        pytest.param("[::1]", None, id="a bracketed address is refused"),
    ],
)
def test_a_hostname_is_a_host_that_was_allowed(value: str, accepted: str | None) -> None:
    assert accept(HOSTS, value) == accepted


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        pytest.param("https://login.example.com/oauth2/token", True, id="an https address is taken"),
        pytest.param("https://login.example.com/token?p=policy", True, id="a query is part of some token endpoints"),
        pytest.param("http://127.0.0.1:8080/token", True, id="http is taken for loopback; egress decides the rest"),
        pytest.param("http://[::1]:8080/token", True, id="http is taken for loopback of version 6"),
        pytest.param("http://login.example.com/token", False, id="http elsewhere is refused"),
        pytest.param("ftp://login.example.com/token", False, id="another scheme is refused"),
        pytest.param("file:///etc/passwd", False, id="a file is refused"),
        pytest.param("https://user:pass@login.example.com/", False, id="user information is refused"),
        pytest.param(
            "https://login.example.com@evil.net/", False, id="a host disguised as user information is refused"
        ),
        pytest.param("https://login.example.com\\@evil.net/", False, id="a backslash is refused"),
        pytest.param("https://login.example.com/a/../admin", False, id="a dot segment is refused"),
        pytest.param("https://login.example.com/a/%2e%2e/admin", False, id="an encoded dot segment is refused"),
        pytest.param("https://login.example.com/a%2Fadmin", False, id="an encoded slash is refused"),
        pytest.param("https://login.example.com/a%0d%0aX:1", False, id="an encoded line break is refused"),
        pytest.param("https://login.example.com/%zz", False, id="a broken escape is refused"),
        pytest.param("https://login.example.com//evil.net/", False, id="an empty segment is refused"),
        pytest.param("https://login.example.com/#frag", False, id="a fragment is refused"),
        pytest.param("https://lögin.example.com/", False, id="letters beyond ASCII are refused"),
        pytest.param("https://login.example.com:0/", False, id="port 0 is refused"),
        pytest.param("https://login.example.com:99999/", False, id="a port that is none is refused"),
        pytest.param("https://login.example.com:/", False, id="an empty port is refused"),
        pytest.param("https:///token", False, id="a missing host is refused"),
        pytest.param("https://login.example.com/ token", False, id="a blank is refused"),
        pytest.param("login.example.com/token", False, id="a missing scheme is refused"),
        pytest.param("https://[::1]evil/", False, id="a malformed address is refused"),
    ],
)
def test_a_url_is_one_plain_address(value: str, taken: bool) -> None:
    assert (accept(parameter(type="url", pattern=FREE, anyHost=True), value) == value) is taken


def test_a_url_brings_a_port_only_where_a_pattern_was_written() -> None:
    assert accept(parameter(type="url", anyHost=True), "https://login.example.com:8443/") is None
    assert accept(parameter(type="url", anyHost=True), "https://login.example.com/") is not None


@pytest.mark.parametrize(
    ("declared", "value", "taken"),
    [
        pytest.param({"pattern": "[0-9]+"}, "123", True, id="a value that matches is taken"),
        pytest.param({"pattern": "[0-9]+"}, "123x", False, id="a pattern matches the whole value"),
        pytest.param({"pattern": "^[0-9]+$"}, "123\n", False, id="an anchor does not let a line break through"),
        pytest.param({"pattern": r"\d+"}, "١٢٣", False, id="digits of other scripts are not digits"),
        pytest.param({"enum": ["eu", "us"]}, "eu", True, id="a listed value is taken"),
        pytest.param({"enum": ["eu", "us"]}, "EU", False, id="a value that is not listed is refused"),
        pytest.param({"type": "integer"}, "-42", True, id="a whole number is taken"),
        pytest.param({"type": "integer"}, "1.5", False, id="another number is refused"),
        pytest.param({"type": "integer"}, "٣", False, id="a number of another script is refused"),
        pytest.param({}, "Zürich 1", True, id="a text that reaches no host may hold any letter"),
        pytest.param({}, "a\r\nb", False, id="a line break is refused everywhere"),
        pytest.param({}, "x" * 1025, False, id="a value is at most 1024 characters"),
    ],
)
def test_a_value_has_the_declared_form(declared: dict[str, object], value: str, taken: bool) -> None:
    assert (accept(parameter(**declared), value) == value) is taken


PLACES = connector(
    token_method(tokenRequest={"url": "https://{tenant}.login.example.com/{path}/token"}),
    parameters={"tenant": {"pattern": FREE}, "path": {"pattern": FREE}},
)


@settings(deadline=None)
@given(tenant=st.text(max_size=40), path=st.text(max_size=40))
def test_no_value_changes_the_shape_of_an_address(tenant: str, path: str) -> None:
    """Even behind a pattern that takes everything, the request goes where the connector's author sent it."""
    spec = connection("clientSecret", clientId="client", parameters={"tenant": tenant, "path": path})
    try:
        plan = plan_for(spec, PLACES)
    except SpecError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.reason in {Reason.PARAMETER_INVALID, Reason.PARAMETER_MISSING}
        return
    url = urlsplit(plan.token_url)
    assert url.scheme == "https"
    assert url.netloc == f"{tenant.lower()}.login.example.com"
    assert url.path.count("/") == 2
    assert url.path.endswith("/token")
    assert not url.query
    assert not url.fragment


@pytest.mark.parametrize("value", [".", "..", "a.evil.net/", "x:1", "x@y"])
def test_a_careless_pattern_does_not_open_the_host(value: str) -> None:
    spec = connection("clientSecret", clientId="client", parameters={"tenant": value, "path": "p"})
    with pytest.raises(SpecError) as caught:
        plan_for(spec, PLACES)
    assert (caught.value.reason, caught.value.facts["field"]) == (Reason.PARAMETER_INVALID, "tenant")


@pytest.mark.parametrize("value", [".", ".."])
def test_a_parameter_is_no_dot_segment(value: str) -> None:
    spec = connection("clientSecret", clientId="client", parameters={"tenant": "acme", "path": value})
    with pytest.raises(SpecError) as caught:
        plan_for(spec, PLACES)
    assert caught.value.facts["field"] == "path"


def test_a_slash_in_a_parameter_stays_in_its_segment() -> None:
    spec = connection("clientSecret", clientId="client", parameters={"tenant": "acme", "path": "a/../b?c"})
    assert plan_for(spec, PLACES).token_url == "https://acme.login.example.com/a%2F..%2Fb%3Fc/token"
