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


def test_whatever_is_sent_is_answered_as_documented(federation_team: FederationTeam, issuer: StaticIssuer) -> None:
    """Some of what is made up carries a JWT that is trusted, and the client that it is trusted for."""
    team, token = federation_team, issuer.token()
    team.trust()
    team.publish_keys()
    handed = team.until_taken(token).json()["access_token"]
    served = team.client.get(f"{team.gateway.url}/oauth/openapi.json")
    assert served.text == COMMITTED.read_text()
    document = json.loads(served.text)
    _point(document, token, handed, team)
    schema = openapi.from_dict(document)
    schema.config.update(base_url=team.gateway.url, tls_verify=str(team.ca_path))
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
