"""The metadata document: what RFC 8414 and OpenID Connect Discovery want, and only what answers."""

import pytest

from lanyard.entry.gateway_metadata import metadata

URL = "https://lanyard.example:8443"
# RFC 8414 2, OpenID Connect Discovery 1.0 3: those that are required
REQUIRED = {
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
}


@pytest.mark.parametrize("tenant", [None, "sales"])
def test_what_is_required_is_there_and_no_list_is_empty(tenant: str | None) -> None:
    document = metadata(URL, tenant)
    assert document.keys() >= REQUIRED
    assert all(document.values()), "RFC 8414 3.2: without elements a member is left out"
    assert document["issuer"] == URL, "also a tenant's: it is what tokens say"


def test_a_tenant_has_a_token_endpoint_of_its_own() -> None:
    assert metadata(URL)["token_endpoint"] == f"{URL}/oauth/token"
    assert metadata(URL, "sales")["token_endpoint"] == f"{URL}/sales/oauth2/v2.0/token"


def test_every_address_is_ours() -> None:
    document = metadata(URL)
    places = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(places) == 5
    assert all(place.startswith(f"{URL}/") for place in places)


def test_no_password_and_no_shared_key_is_offered() -> None:
    document = metadata(URL)
    methods = [value for name, value in document.items() if name.endswith("auth_methods_supported")]
    assert {method for listed in methods for method in listed} == {"private_key_jwt", "none"}
    algorithms = document["token_endpoint_auth_signing_alg_values_supported"]
    assert "none" not in algorithms
    assert not any(name.startswith("HS") for name in algorithms)
