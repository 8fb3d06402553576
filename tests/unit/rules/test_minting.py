"""Who may have which tokens of Lanyard's own: never what names another tenant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.api.connector import MintGrant
from lanyard.rules.minting import Mintable, foreign_audience, minted_scopes

pytestmark = pytest.mark.spec("F12")

ISSUER = "https://lanyard.example"
OWN = f"{ISSUER}/sales"
API = f"{ISSUER}/identity_"


def grant(names: list[str], *, audiences: list[str] | None = None, scopes: list[str] | None = None) -> MintGrant:
    return MintGrant.model_validate(
        {"namespaces": {"names": names}, "audiences": audiences or [], "scopes": scopes or []}
    )


def to_labelled(**members: list[str]) -> MintGrant:
    return MintGrant.model_validate({"namespaces": {"selector": {"matchLabels": {"team": "a"}}}, **members})


def sales(*mints: MintGrant, labels: dict[str, str] | None = None) -> Mintable:
    return Mintable.of(mints, "sales", labels, ISSUER)


def test_without_a_word_of_the_platform_there_is_the_default_audience_and_no_scope() -> None:
    mine = sales(grant(["other"], audiences=["https://api.example"], scopes=["PM.OAuthApp"]))
    assert (mine.audience(()), mine.scopes, mine.audiences) == (OWN, (), frozenset())
    assert mine.audience((), "https://api.example") is None


def test_what_entries_give_adds_up() -> None:
    mine = sales(
        grant(["sales"], scopes=["read"]),
        grant(["sales", "other"], scopes=["read", "write"], audiences=["https://api.example"]),
    )
    assert mine.scopes == ("read", "write")
    assert mine.audience((), "https://api.example") == "https://api.example"


@pytest.mark.parametrize(
    ("labels", "scopes"),
    [
        pytest.param({"team": "a"}, ("read",), id="labels that fit"),
        pytest.param({"team": "b"}, (), id="labels that do not fit"),
        pytest.param(None, (), id="labels that are not known"),
    ],
)
def test_a_selector_admits_by_the_labels_of_the_namespace(
    labels: dict[str, str] | None, scopes: tuple[str, ...]
) -> None:
    assert sales(to_labelled(scopes=["read"]), labels=labels).scopes == scopes


@pytest.mark.parametrize(
    ("scopes", "wanted", "audience"),
    [
        pytest.param((), "", OWN, id="nothing asked for"),
        pytest.param(("read",), OWN, OWN, id="the default asked for by name"),
        pytest.param(("read",), "https://api.example", "https://api.example", id="one that was given"),
        pytest.param(("read",), "https://other.example", None, id="one that was not given"),
        pytest.param(("read", "PM.OAuthApp"), "", API, id="a scope of the REST API makes a token for it"),
        pytest.param(("PM.OAuthApp",), API, API, id="the REST API asked for by name"),
        pytest.param(("PM.OAuthApp",), "https://api.example", None, id="a scope of the REST API goes nowhere else"),
        pytest.param(("PM.OAuthApp",), OWN, None, id="not to the default audience either"),
        pytest.param(("read",), API, None, id="the REST API without its scopes"),
    ],
)
def test_the_audience_of_a_token(scopes: tuple[str, ...], wanted: str, audience: str | None) -> None:
    mine = sales(grant(["sales"], audiences=["https://api.example"], scopes=["read", "PM.OAuthApp"]))
    assert mine.audience(scopes, wanted) == audience


FOREIGN = [
    pytest.param(f"{ISSUER}/finance", id="another tenant's"),
    pytest.param(f"{ISSUER}/finance/", id="with a slash at the end"),
    pytest.param(f"{ISSUER}/sales/x", id="below one's own"),
    pytest.param("HTTPS://LANYARD.EXAMPLE/finance", id="in capitals"),
    pytest.param(ISSUER, id="the issuer itself"),
    pytest.param(f"{ISSUER}/", id="the issuer with a slash"),
]


@pytest.mark.parametrize("audience", FOREIGN)
def test_what_lies_under_the_issuer_is_not_to_be_had_even_where_a_connector_gives_it(audience: str) -> None:
    given_to_all = MintGrant.model_validate({"namespaces": {"selector": {}}, "audiences": [audience]})
    mine = sales(given_to_all, labels={})
    assert mine.audience((), audience) is None
    assert foreign_audience([grant(["x"], scopes=["read"]), given_to_all], ISSUER) == 1


@pytest.mark.parametrize(
    ("entry", "index"),
    [
        pytest.param(grant(["sales"], audiences=[OWN, API]), None, id="one's own and the REST API's"),
        pytest.param(grant(["sales", "finance"], audiences=[OWN]), 0, id="one's own, and given to another as well"),
        pytest.param(to_labelled(audiences=[OWN]), 0, id="one's own, for whoever has a label"),
        pytest.param(grant(["sales"], audiences=["https://lanyard.example.org/x"]), None, id="a longer host"),
        pytest.param(grant(["sales"], audiences=["api://sales"]), None, id="elsewhere"),
    ],
)
def test_a_connector_may_list_what_no_other_tenant_can_mind(entry: MintGrant, index: int | None) -> None:
    assert foreign_audience([entry], ISSUER) == index


@given(
    namespace=st.sampled_from(["sales", "finance", "hr"]),
    listed=st.lists(st.sampled_from(["sales", "finance", "hr", "identity_", "finance/x", ""]), max_size=4),
    scopes=st.lists(st.sampled_from(["read", "PM.OAuthApp"]), max_size=2),
    wanted=st.sampled_from(["sales", "finance", "hr", "identity_", "finance/x", ""]),
)
def test_no_tenant_has_another_s_audience(namespace: str, listed: list[str], scopes: list[str], wanted: str) -> None:
    everything = MintGrant.model_validate(
        {"namespaces": {"selector": {}}, "audiences": [f"{ISSUER}/{one}" for one in listed], "scopes": scopes}
    )
    mine = Mintable.of([everything], namespace, {}, ISSUER)
    assert mine.audience(scopes, f"{ISSUER}/{wanted}") in {None, f"{ISSUER}/{namespace}", API}


ALLOWED = ("read", "write", "PM.OAuthApp")


@pytest.mark.parametrize(
    ("requested", "bound", "granted"),
    [
        pytest.param("", (), ALLOWED, id="nothing asks for all"),
        pytest.param("api://x/.default", (), ALLOWED, id="as Entra's clients ask for all"),
        pytest.param(".default", ("read",), ("read",), id="all within the bound"),
        pytest.param("write read", (), ("read", "write"), id="some, in the order of the platform"),
        pytest.param("read read", (), ("read",), id="one twice"),
        pytest.param("admin", (), None, id="one that is not allowed"),
        pytest.param("read admin", (), None, id="one of two that is not allowed"),
        pytest.param("write", ("read",), None, id="one beyond the bound"),
        pytest.param("api://x/.default admin", (), None, id="all, and one that is not allowed"),
        pytest.param("READ", (), None, id="in capitals"),
        pytest.param("", ("admin",), (), id="a bound that allows nothing"),
    ],
)
def test_the_scopes_of_a_token(requested: str, bound: tuple[str, ...], granted: tuple[str, ...] | None) -> None:
    assert minted_scopes(requested, ALLOWED, bound) == granted


@given(st.text(max_size=30), st.lists(st.sampled_from([*ALLOWED, "admin"]), max_size=3))
def test_nothing_is_granted_beyond_what_is_allowed_and_bounded(requested: str, bound: list[str]) -> None:
    granted = minted_scopes(requested, ALLOWED, bound) or ()
    assert set(granted) <= set(ALLOWED)
    assert not bound or set(granted) <= set(bound)
