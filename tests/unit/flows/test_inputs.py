from dataclasses import replace
from typing import Any

import pytest

from lanyard.api.connection import ConnectionSpec
from lanyard.api.meta import NamespaceGrant
from lanyard.flows.inputs import Input, admission, asset_key, digest_of, inputs_of, link_target, sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.world import Record, SecretVersion, World
from lanyard.stores.issuer_keys import key_set_name
from support.plans import connector, token_method

CRM = Key(What.CONNECTION, "sales", "crm")
APP = Key(What.SECRET, "sales", "crm-app")
ASSET = Key(What.ASSET, "shared", "crm-login")
STORE = Key(What.STORE, "", "team-vault")
CREDENTIAL = Key(What.CREDENTIAL, "sales", "github")
TRUST = {"connectionRef": {"name": "crm"}, "issuer": "https://i"}
BY_SECRET = {"clientSecret": {"secretRef": {"name": "crm-app", "key": "password"}}}
BY_ASSET = {"clientSecret": {"credentialAssetRef": {"name": "crm-login", "namespace": "shared", "key": "password"}}}
CONNECTOR = connector(token_method(), name="salesforce")

TEAM_A = {"selector": {"matchLabels": {"team": "a"}}}
SHARED = {"names": ["shared"]}


def spec(credentials: dict[str, Any] = BY_SECRET, **members: Any) -> dict[str, Any]:
    return {"connector": "salesforce", "credentials": credentials, **members}


def secret(version: str = "10", uid: str = "uid-1") -> SecretVersion:
    return SecretVersion("sales", "crm-app", uid, version)


def see(world: World, key: Key, body: dict[str, Any], *, uid: str = "u", generation: int = 1) -> Record:
    metadata = {"namespace": key.namespace, "name": key.name, "uid": uid, "generation": generation}
    world.observe(key.what, {"metadata": metadata, "spec": body})
    record = world.get(key)
    assert record is not None
    return record


@pytest.fixture
def world() -> World:
    """A cluster in order: a Secret, a store, and an asset in it that other namespaces may use."""
    world = World(wake=lambda _: None, sources_of=sources_of)
    world.readable[APP] = secret()
    world.namespaces = {"sales": {"team": "a"}}
    see(world, STORE, {"vault": {"auth": {}}, "allowedNamespaces": SHARED})
    see(world, ASSET, {"store": "team-vault", "path": "apps/crm", "allowedNamespaces": TEAM_A})
    world.asset_versions[ASSET] = "3"
    return world


def inputs(world: World, body: dict[str, Any], known: Any = CONNECTOR) -> tuple[Input, ...]:
    return inputs_of("sales", ConnectionSpec.model_validate(body), known, world)


def digest(world: World, body: dict[str, Any], known: Any = CONNECTOR) -> str:
    return digest_of(see(world, CRM, body, uid=str(body)).spec, inputs(world, body, known))


@pytest.mark.spec("C10")
@pytest.mark.parametrize(
    ("key", "body", "sources"),
    [
        (CRM, {}, ["Connector/", "Secret/sales/crm-token"]),
        (
            CRM,
            spec(BY_SECRET),
            ["Connector/salesforce", "Secret/sales/crm-app", "Secret/sales/crm-token"],
        ),
        (
            CRM,
            spec(BY_ASSET, secret={"name": "login"}),
            ["Connector/salesforce", "CredentialAssetRef/shared/crm-login", "Secret/sales/login"],
        ),
        (
            CRM,
            spec({"clientSecret": {"credentialAssetRef": {"name": "own", "key": "k"}}}, secret={"type": "Opaque"}),
            ["Connector/salesforce", "CredentialAssetRef/sales/own", "Secret/sales/crm-token"],
        ),
        (
            CRM,
            {"linkTo": {"namespace": "shared", "name": "crm"}, "secret": {"name": "login"}},
            ["Connection/shared/crm", "Secret/sales/login"],
        ),
        (ASSET, {"store": "team-vault", "path": "apps/crm"}, ["CredentialStore/team-vault"]),
        (ASSET, {"path": "crm-app"}, ["Secret/shared/crm-app"]),
        (STORE, {"vault": {"auth": {"kubernetes": {"role": "r"}}}}, []),
        (
            STORE,
            {"vault": {"auth": {"tokenSecretRef": {"namespace": "platform", "name": "t", "key": "k"}}}},
            ["Secret/platform/t"],
        ),
        (
            STORE,
            {"vault": {"auth": {"appRole": {"secretIdRef": {"namespace": "platform", "name": "s", "key": "k"}}}}},
            ["Secret/platform/s"],
        ),
        (STORE, {}, []),
        (Key(What.CONNECTOR, "", "salesforce"), {"methods": []}, []),
        (CREDENTIAL, TRUST, ["Connection/sales/crm", f"issuer keys/{key_set_name('https://i', None, None)}"]),
        (
            CREDENTIAL,
            TRUST | {"jwksURI": "https://i/keys", "caBundle": "PEM"},
            ["Connection/sales/crm", f"issuer keys/{key_set_name('https://i', 'https://i/keys', 'PEM')}"],
        ),
        (CREDENTIAL, TRUST | {"jwks": "{}"}, ["Connection/sales/crm"]),
    ],
    ids=[
        "an empty Connection",
        "a Connection and its Secrets",
        "a Connection, an asset elsewhere and a named Secret",
        "an asset is meant in the own namespace",
        "a link",
        "an asset in a store",
        "an asset that is a Secret",
        "a store with the tenant's login",
        "a store with a shared token",
        "a store with a shared AppRole",
        "an empty store",
        "a connector",
        "a federated credential",
        "a federated credential whose keys are elsewhere",
        "a federated credential with keys of its own",
    ],
)
def test_each_kind_is_made_from_its_sources(key: Key, body: dict[str, Any], sources: list[str]) -> None:
    assert [str(source) for source in sources_of(key, body)] == sources


def test_a_link_is_known_by_the_connection_among_its_sources(world: World) -> None:
    assert link_target(see(world, CRM, spec())) is None
    linked = see(world, CRM, {"linkTo": {"namespace": "shared", "name": "crm"}}, uid="another")
    assert link_target(linked) == Key(What.CONNECTION, "shared", "crm")


ADMISSIONS: dict[str, tuple[Any, str]] = {
    "nothing said": (None, "refused"),
    "nobody": ({}, "refused"),
    "another name": ({"names": ["hr"]}, "refused"),
    "this name": ({"names": ["hr", "sales"]}, "admitted"),
    "these labels": (TEAM_A, "admitted"),
    "other labels": ({"selector": {"matchLabels": {"team": "b"}}}, "refused"),
    "everybody": ({"selector": {}}, "admitted"),
    "what is no grant": ({"names": "sales"}, "refused"),
}


@pytest.mark.spec("C13", "A9")
@pytest.mark.parametrize(("grant", "verdict"), ADMISSIONS.values(), ids=ADMISSIONS.keys())
def test_a_namespace_is_admitted_by_what_the_owner_wrote(world: World, grant: Any, verdict: str) -> None:
    place = Key(What.CONNECTION, "shared", "crm")
    owner = see(world, place, spec() | ({} if grant is None else {"allowedNamespaces": grant}))
    assert admission("sales", owner, world) == verdict
    assert admission("shared", owner, world) == "own"


@pytest.mark.spec("C13")
def test_a_namespace_of_unknown_labels_is_admitted_by_name_only(world: World) -> None:
    owner = see(world, Key(What.CONNECTION, "shared", "crm"), spec() | {"allowedNamespaces": {"selector": {}}})
    assert admission("never-seen", owner, world) == "refused"


def test_a_source_is_named_once() -> None:
    ref = {"secretRef": {"name": "crm-app", "key": "a"}}
    assert sources_of(CRM, spec({"one": ref, "two": ref})).count(APP) == 1


def test_a_plain_secret_has_no_asset() -> None:
    source = ConnectionSpec.model_validate(spec(BY_SECRET)).credentials["clientSecret"]
    assert asset_key("sales", source) is None


def test_an_asset_is_looked_for_where_the_reference_says() -> None:
    source = ConnectionSpec.model_validate(spec(BY_ASSET)).credentials["clientSecret"]
    assert asset_key("sales", source) == ASSET


def test_the_same_cluster_gives_the_same_digest(world: World) -> None:
    assert digest(world, spec()) == digest(world, spec()) != ""


@pytest.mark.spec("C12")
@pytest.mark.parametrize(
    "member",
    [{"displayName": "CRM"}, {"description": "…"}, {"suspend": True}, {"allowedNamespaces": {"selector": {}}}],
    ids=str,
)
def test_prose_and_the_switch_fetch_no_token(world: World, member: dict[str, Any]) -> None:
    assert digest(world, spec(**member)) == digest(world, spec())


@pytest.mark.parametrize(
    "member",
    [{"auth": {"scopes": ["api"]}}, {"parameters": {"a": "b"}}, {"secret": {"name": "other"}}],
    ids=str,
)
def test_what_a_token_depends_on_changes_the_digest(world: World, member: dict[str, Any]) -> None:
    assert digest(world, spec(**member)) != digest(world, spec())


def test_the_order_of_members_is_no_change(world: World) -> None:
    body = spec(parameters={"a": "1", "b": "2"})
    turned = dict(reversed(list(body.items()))) | {"parameters": {"b": "2", "a": "1"}}
    assert digest(world, turned) == digest(world, body)


@pytest.mark.spec("C10")
@pytest.mark.parametrize("now", [None, secret("11"), secret(uid="uid-2")], ids=["gone", "edited", "replaced"])
def test_a_secret_that_changed_changes_the_digest(world: World, now: SecretVersion | None) -> None:
    before = digest(world, spec())
    world.readable.pop(APP)
    if now is not None:
        world.readable[APP] = now
    assert digest(world, spec()) != before


def test_a_secret_that_is_not_used_changes_nothing(world: World) -> None:
    before = digest(world, spec())
    world.readable[APP._replace(name="other")] = secret("99")
    assert digest(world, spec()) == before


def test_a_connector_that_changed_changes_the_digest(world: World) -> None:
    assert len({digest(world, spec(), known) for known in (CONNECTOR, replace(CONNECTOR, digest="new"), None)}) == 3


def change(world: World, what: str) -> None:
    match what:
        case "the asset is gone":
            world.forget(ASSET)
        case "the asset was edited":
            body = {"store": "team-vault", "path": "apps/other", "allowedNamespaces": TEAM_A}
            see(world, ASSET, body, generation=2)
        case "the asset was replaced":
            body = {"store": "team-vault", "path": "apps/crm", "allowedNamespaces": TEAM_A}
            see(world, ASSET, body, uid="another")
        case "the store is gone":
            world.forget(STORE)
        case "the store was edited":
            see(world, STORE, {"vault": {}, "allowedNamespaces": SHARED}, generation=2)
        case "the store has a new version":
            world.asset_versions[ASSET] = "4"
        case "the user's namespace is no longer admitted":
            world.namespaces["sales"] = {"team": "b"}


@pytest.mark.spec("A4", "A9", "C10")
@pytest.mark.parametrize(
    "what",
    [
        "the asset is gone",
        "the asset was edited",
        "the asset was replaced",
        "the store is gone",
        "the store was edited",
        "the store has a new version",
        "the user's namespace is no longer admitted",
    ],
)
def test_whatever_leads_to_an_asset_s_value_changes_the_digest(world: World, what: str) -> None:
    before = digest(world, spec(BY_ASSET))
    change(world, what)
    assert digest(world, spec(BY_ASSET)) != before


def test_a_secret_behind_an_asset_changes_the_digest(world: World) -> None:
    see(world, ASSET, {"path": "vaulted"}, uid="plain")
    before = digest(world, spec(BY_ASSET))
    world.readable[Key(What.SECRET, "shared", "vaulted")] = secret()
    assert digest(world, spec(BY_ASSET)) != before


def test_a_label_that_decides_nothing_changes_nothing(world: World) -> None:
    before = digest(world, spec(BY_ASSET))
    world.namespaces["sales"] = {"team": "a", "cost-centre": "7"}
    assert digest(world, spec(BY_ASSET)) == before


@pytest.mark.spec("A11")
def test_a_store_that_no_longer_admits_the_asset_s_namespace_changes_the_digest(world: World) -> None:
    by_label = {"selector": {"matchLabels": {"vault": "yes"}}}
    world.namespaces["shared"] = {"vault": "yes"}
    see(world, STORE, {"vault": {}, "allowedNamespaces": by_label}, generation=2)
    before = digest(world, spec(BY_ASSET))
    world.namespaces["shared"] = {}
    assert digest(world, spec(BY_ASSET)) != before


@pytest.mark.spec("A11", "C10")
def test_whom_a_store_and_an_asset_admit_is_parsed_once_for_each_generation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = 0
    validate = NamespaceGrant.model_validate

    def counted(grant: Any) -> NamespaceGrant:
        nonlocal parsed
        parsed += 1
        return validate(grant)

    monkeypatch.setattr(NamespaceGrant, "model_validate", counted)
    for generation, team in ((5, "once"), (6, "again")):
        for key in (STORE, ASSET):
            grant = {"names": [team, key.what.value]}
            see(world, key, {"store": "team-vault", "path": "p", "allowedNamespaces": grant}, generation=generation)
        for _ in range(3):
            inputs(world, spec(BY_ASSET))
    assert parsed == 4


@pytest.mark.spec("A11")
@pytest.mark.parametrize("grant", [None, {"names": "sales"}, {"everybody": True}, []], ids=str)
def test_a_grant_that_is_missing_or_malformed_admits_nobody(world: World, grant: Any) -> None:
    see(world, ASSET, {"store": "team-vault", "path": "p", "allowedNamespaces": grant}, generation=7)
    (_, asset) = inputs(world, spec(BY_ASSET))
    assert "/refused/" in asset.version


@pytest.mark.spec("A4")
def test_what_was_read_counts_and_not_what_was_known_before(world: World) -> None:
    """A credential that was read in version 4 and published is not a change when version 4 becomes known."""
    body = spec(BY_ASSET)
    text = see(world, CRM, body).spec
    made_from = digest_of(text, inputs(world, body), {"clientSecret": "4"})
    assert made_from != digest_of(text, inputs(world, body))
    world.asset_versions[ASSET] = "4"
    assert made_from == digest_of(text, inputs(world, body))


def test_a_secret_that_was_read_before_the_watch_told_of_it_is_no_change_when_it_does(world: World) -> None:
    known = world.readable.pop(APP)
    body = spec()
    text = see(world, CRM, body).spec
    made_from = digest_of(text, inputs(world, body), {"clientSecret": known.marker})
    world.readable[APP] = known
    assert digest_of(text, inputs(world, body)) == made_from


def test_of_a_secret_that_the_watch_shows_a_read_changes_nothing(world: World) -> None:
    """It may have been read later than the decision was made; the watch then tells of the change."""
    text = see(world, CRM, spec()).spec
    known = inputs(world, spec())
    assert digest_of(text, known, {"clientSecret": "4"}) == digest_of(text, known)
