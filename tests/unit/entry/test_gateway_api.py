"""How often a namespace may ask, and what is documented of the REST API."""

import pytest

from lanyard.api.openapi import rest_document
from lanyard.entry import gateway_api
from lanyard.entry.gateway_api import Quotas
from lanyard.flows.callers import Deed


@pytest.mark.spec("F11")
@pytest.mark.parametrize(
    ("deed", "beside", "free"),
    [
        (Deed.LIST, Deed.READ, Deed.CREATE),
        (Deed.CREATE, Deed.CREATE, Deed.LIST),
        (Deed.DELETE, Deed.REPLACE, Deed.READ),
    ],
)
def test_a_namespace_has_so_many_requests_of_a_kind(deed: Deed, beside: Deed, free: Deed) -> None:
    quotas = Quotas(reads=5, creations=5, changes=5)
    assert [quotas.wait(deed, "sales") for _ in range(5)] == [0.0] * 5
    assert 0 < quotas.wait(beside, "sales") <= 60
    assert quotas.wait(free, "sales") == 0.0
    assert quotas.wait(deed, "another") == 0.0


def test_the_document_s_scopes_are_those_that_are_asked_for() -> None:
    deeds = {
        "listFederatedCredentials": Deed.LIST,
        "getFederatedCredential": Deed.READ,
        "createFederatedCredential": Deed.CREATE,
        "replaceFederatedCredential": Deed.REPLACE,
        "deleteFederatedCredential": Deed.DELETE,
    }
    found = {
        operation["operationId"]: operation["security"]
        for place in rest_document()["paths"].values()
        for method, operation in place.items()
        if method != "parameters"
    }
    assert found == {name: [{"bearer": [scope.value for scope in deed.scopes]}] for name, deed in deeds.items()}


def test_every_address_of_the_document_is_below_the_prefix() -> None:
    assert all(path.startswith(f"{gateway_api.API_PREFIX}/") for path in rest_document()["paths"])
