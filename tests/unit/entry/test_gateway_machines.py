"""What programs are answered, before any handler: JSON, and nothing while the cluster is not heard of but keys."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from lanyard.entry.gateway_machines import MachineGuard, is_for_machines
from lanyard.errors import KubernetesError, KubernetesStatus

PUBLISHED = (
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/oauth/jwks",
    "/sales/v2.0/.well-known/openid-configuration",
)
ASKED = ("/oauth/token", "/oauth/introspect", "/oauth/revoke", "/identity_/connect/token", "/sales/oauth2/v2.0/token")


async def answered(path: str, *, live: bool = True, fault: Exception | None = None) -> web.StreamResponse:
    async def handler(_: web.Request) -> web.StreamResponse:
        if fault is not None:
            raise fault
        return web.Response(text="done")

    guard = MachineGuard(60, (), lambda: live)
    return await guard.answer(make_mocked_request("POST", path), handler)


@pytest.mark.parametrize("path", [*PUBLISHED, *ASKED])
def test_programs_ask_there(path: str) -> None:
    assert is_for_machines(path)


@pytest.mark.parametrize("path", PUBLISHED)
async def test_keys_are_served_while_the_cluster_is_not_heard_of(path: str) -> None:
    """Tokens that are out already are checked with them."""
    assert (await answered(path, live=False)).status == 200


@pytest.mark.spec("F9")
@pytest.mark.parametrize("path", ASKED)
async def test_nothing_is_decided_while_the_cluster_is_not_heard_of(path: str) -> None:
    answer = await answered(path, live=False)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


FAULTS = {
    "no such address": (web.HTTPNotFound(), 404, "not_found"),
    "too large": (web.HTTPRequestEntityTooLarge(1, 2), 413, "invalid_request"),
    "the API server does not answer": (KubernetesError(KubernetesStatus(0)), 503, "temporarily_unavailable"),
    "a fault of ours": (RuntimeError("canary-7f3a"), 500, "server_error"),
}


@pytest.mark.parametrize(("fault", "status", "code"), FAULTS.values(), ids=FAULTS)
async def test_what_goes_wrong_is_told_in_json_and_by_kind(fault: Exception, status: int, code: str) -> None:
    answer = await answered("/oauth/introspect", fault=fault)
    assert isinstance(answer, web.Response)
    assert answer.status == status
    assert json.loads(answer.body or b"")["error"] == code  # type: ignore[arg-type]
    assert "canary" not in str(answer.body)
