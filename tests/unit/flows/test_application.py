"""What a Connection says of itself whose tokens Lanyard makes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.api.connection import ConnectionSpec
from lanyard.connectors.loader import load_catalogue
from lanyard.errors import LanyardError, SpecError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason
from lanyard.rules.applications import ApplicationView, application_status, field_without_meaning

pytestmark = pytest.mark.spec("F12", "C16")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOUND = ApplicationView(2, "uid-1", False, None)
UNFIT = SpecError(Reason.SIGN_IN_NOT_OFFERED, connector="lanyard", field="auth.method")


def told(view: ApplicationView, previous: dict[str, Any] | None = None) -> tuple[dict[str, str], dict[str, Any]]:
    status, _ = application_status(previous or {}, view, NOW)
    return {one["type"]: f"{one['status']} {one['reason']}" for one in status["conditions"]}, status


@pytest.mark.parametrize(
    ("view", "conditions"),
    [
        pytest.param(SOUND, {"Ready": "True TokensByExchange", "SpecValid": "True Valid"}, id="nothing is needed"),
        pytest.param(
            ApplicationView(2, "uid-1", True, None),
            {"Ready": "False Suspended", "SpecValid": "True Valid"},
            id="suspended: the gateway hands out nothing",
        ),
        pytest.param(
            ApplicationView(2, "uid-1", False, UNFIT),
            {
                "Ready": "False SignInNotOffered",
                "Stalled": "True SignInNotOffered",
                "SpecValid": "False SignInNotOffered",
            },
            id="a field without meaning",
        ),
        pytest.param(
            ApplicationView(2, "uid-1", False, LanyardError(Reason.KUBERNETES_UNAVAILABLE)),
            {"Ready": "False KubernetesUnavailable", "Reconciling": "True KubernetesUnavailable"},
            id="what was published cannot be taken back now",
        ),
    ],
)
def test_it_says_only_what_applies(view: ApplicationView, conditions: dict[str, str]) -> None:
    found, status = told(view)
    assert found == conditions
    assert (status["observedGeneration"], status["clientId"]) == (2, "uid-1")
    assert status.keys() == {"observedGeneration", "conditions", "clientId"}


def test_the_message_says_how_to_get_a_token() -> None:
    _, status = told(SOUND)
    assert "by exchange, with the client id uid-1" in status["conditions"][0]["message"]


def test_nothing_stays_of_the_way_that_the_connector_had_before() -> None:
    since = "2026-01-01T00:00:00Z"
    before = {"type": "TokenFresh", "status": "True", "reason": "Fresh", "message": "", "lastTransitionTime": since}
    found, status = told(SOUND, {"conditions": [before], "expiresAt": "2026-12-01T00:00:00Z"})
    assert "TokenFresh" not in found
    assert "expiresAt" not in status


def test_a_second_look_changes_nothing() -> None:
    _, first = told(SOUND)
    again, _ = application_status(first, SOUND, NOW + timedelta(hours=1))
    assert again == first


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({}, None, id="the connector alone"),
        pytest.param({"displayName": "CI", "allowedNamespaces": {}, "secret": {"publish": False}}, None, id="harmless"),
        pytest.param({"auth": {"method": "clientCredentials"}}, "auth.method", id="a method"),
        pytest.param({"auth": {"clientId": "x"}}, "auth.clientId", id="a client id of one's own"),
        pytest.param({"auth": {"scopes": ["read"]}}, "auth.scopes", id="scopes"),
        pytest.param(
            {"credentials": {"clientSecret": {"secretRef": {"name": "a", "key": "b"}}}}, "credentials", id="a secret"
        ),
        pytest.param({"parameters": {"host": "x"}}, "parameters", id="a parameter"),
        pytest.param({"secret": {"name": "token"}}, "secret.name", id="a Secret to publish"),
        pytest.param({"verify": {"interval": "1h"}}, "verify", id="a verification"),
    ],
)
def test_what_only_a_sign_in_needs_is_named(spec: dict[str, Any], field: str | None) -> None:
    assert field_without_meaning(ConnectionSpec.model_validate({"connector": "lanyard"} | spec)) == field


ISSUER = "https://lanyard.example"
CRM = Key(What.CONNECTION, "sales", "crm")


def world_of(spec: dict[str, Any], *connectors: tuple[str, dict[str, Any]]) -> tuple[World, Record]:
    world = World(wake=lambda _: None, sources_of=sources_of)
    for name, body in connectors:
        world.observe(What.CONNECTOR, {"metadata": {"name": name, "uid": name, "generation": 1}, "spec": body})
    metadata = {"name": "crm", "namespace": "sales", "uid": "u", "generation": 1}
    world.observe(What.CONNECTION, {"metadata": metadata, "spec": spec})
    record = world.get(CRM)
    assert record is not None
    return world, record


BASIC = {"methods": [{"name": "basic"}]}
MINTS: dict[str, Any] = {"mints": []}


@pytest.mark.parametrize(
    ("connector", "objects", "mints"),
    [
        pytest.param("lanyard", [], True, id="the built-in one"),
        pytest.param("github", [], False, id="a product"),
        pytest.param("nope", [], False, id="one that there is not"),
        pytest.param("house", [("house", MINTS)], True, id="one of the platform"),
        pytest.param("lanyard", [("lanyard", BASIC)], False, id="the platform's of the same name wins"),
        pytest.param("house", [("house", MINTS | BASIC)], False, id="one that is not usable"),
    ],
)
def test_who_mints_is_told_by_the_connector(connector: str, objects: list[Any], mints: bool) -> None:
    world, record = world_of({"connector": connector}, *objects)
    assert Catalogue(load_catalogue(), world, ISSUER).mints(record) is mints


@pytest.mark.parametrize(
    ("audience", "usable"),
    [
        pytest.param(f"{ISSUER}/finance", False, id="another tenant's"),
        pytest.param(ISSUER, False, id="the issuer's own"),
        pytest.param(f"{ISSUER}/sales", True, id="the tenant's own"),
        pytest.param("https://api.example", True, id="elsewhere"),
    ],
)
def test_a_connector_that_gives_away_what_is_a_tenant_s_is_not_usable(audience: str, usable: bool) -> None:
    mints = [{"namespaces": {"names": ["sales"]}, "audiences": [audience]}]
    world, _ = world_of({"connector": "lanyard"}, ("lanyard", {"mints": mints}))
    catalogue = Catalogue(load_catalogue(), world, ISSUER)
    if usable:
        assert catalogue.find("lanyard").spec.mints
        return
    with pytest.raises(SpecError) as caught:
        catalogue.find("lanyard")
    assert caught.value.reason is Reason.CONNECTOR_INVALID
    assert "mints[0].audiences" in caught.value.message
