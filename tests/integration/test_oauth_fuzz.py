"""What schemathesis makes up from the document of the token endpoint, asked of the running gateway."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, openapi

from support.federating import FederationTeam
from support.fuzzing import BOUNDED, CHECKS
from support.issuing import StaticIssuer

pytestmark = pytest.mark.spec("F7", "F8")
COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi-oauth.json"


@pytest.fixture
def schema(federation_team: FederationTeam, issuer: StaticIssuer, request: pytest.FixtureRequest) -> Any:
    """As it is served; some of what is made up carries a JWT that is trusted, and the client that it is trusted for.
    With the parameter "sound" all requests for a token do.
    """
    team, token = federation_team, issuer.token()
    team.trust()
    team.publish_keys()
    handed = team.until_taken(token).json()["access_token"]
    served = team.client.get(f"{team.gateway.url}/oauth/openapi.json")
    assert served.text == COMMITTED.read_text()
    document = json.loads(served.text)
    _point(document, token, handed, team)
    if getattr(request, "param", "") == "sound":
        sound = document["components"]["schemas"]["TokenRequest"]
        sound["required"] = ["grant_type", "client_assertion_type", "client_assertion", "client_id"]
        sound["properties"] = {name: sound["properties"][name] for name in sound["required"]} | {
            "grant_type": _one_of("client_credentials"),
            "client_assertion": _one_of(token),
            "client_id": _one_of(team.client_id()),
        }
        sound["additionalProperties"] = False
    found = openapi.from_dict(document)
    found.config.update(base_url=team.gateway.url, tls_verify=str(team.ca_path))
    return found


def test_whatever_is_sent_is_answered_as_documented(schema: Any) -> None:
    operations = [one.ok() for one in schema.get_all_operations()]
    assert len(operations) == 9
    made_up = st.one_of(one.as_strategy(generation_mode=mode) for one in operations for mode in GenerationMode)
    statuses: set[int] = set()

    @given(case=made_up)
    @settings(BOUNDED, max_examples=500)
    def ask(case: Any) -> None:
        answer = case.call()
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    assert statuses >= {200, 400}, "what was made up has reached what is there"


@pytest.mark.parametrize("schema", ["sound"], indirect=True)
def test_one_thing_after_the_other_is_answered_as_documented(schema: Any) -> None:
    """A token that was handed out is asked about and ended."""
    answered: set[tuple[str, int]] = set()
    machine: Any = schema.as_state_machine()

    class Working(machine):
        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            answered.add((case.operation.path, response.status_code))

        def validate_response(self, response: Any, case: Any, additional_checks: Any = None, **kwargs: Any) -> None:
            case.validate_response(response, checks=CHECKS, transport_kwargs=kwargs)

    Working.run(settings=settings(BOUNDED, max_examples=60, stateful_step_count=8))
    assert answered >= {("/oauth/token", 200), ("/oauth/revoke", 200)}, "a token came and went"


def _point(document: dict[str, Any], token: str, handed: str, team: FederationTeam) -> None:
    schemas = document["components"]["schemas"]
    document["components"]["parameters"]["tenant"]["schema"] = _one_of(team.name, "elsewhere")
    asked = schemas["TokenRequest"]["properties"]
    for name in ("client_assertion", "assertion", "subject_token"):
        asked[name] = _one_of(token, "a.b.c", "")
    asked["client_id"] = _one_of(team.client_id(), "nobody")
    for name in ("IntrospectionRequest", "RevocationRequest"):
        schemas[name]["properties"]["token"] = _one_of(handed, "a.b.c")


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}
