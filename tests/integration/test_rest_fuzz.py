"""What schemathesis makes up from the REST API's own document, asked of the running gateway: no fault, no surprise."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ensure_resource_availability, use_after_free

from support.fuzzing import BOUNDED, CHECKS, schema_of
from support.managing import RestTeam

pytestmark = pytest.mark.spec("F4", "F10")
STATEFUL = [*CHECKS, use_after_free, ensure_resource_availability]


def test_whatever_is_sent_is_answered_as_documented(rest: RestTeam) -> None:
    schema = schema_of(rest, astray=True)
    operations = [one.ok() for one in schema.get_all_operations()]
    assert len(operations) == 5
    made_up = st.one_of(one.as_strategy(generation_mode=mode) for one in operations for mode in GenerationMode)
    statuses: set[int] = set()

    @given(case=made_up)
    @settings(BOUNDED, max_examples=400)
    def ask(case: Any) -> None:
        answer = case.call()
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    assert statuses >= {200, 400, 404}, "what was made up has reached what is there"


def test_one_thing_after_the_other_is_answered_as_documented(rest: RestTeam) -> None:
    statuses: list[int] = []
    machine: Any = schema_of(rest, astray=False).as_state_machine()

    class Working(machine):
        def setup(self) -> None:
            for one in rest.listed():
                rest.as_ci.delete(rest.path(one["id"]))

        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            statuses.append(response.status_code)

        def validate_response(self, response: Any, case: Any, additional_checks: Any = None, **kwargs: Any) -> None:
            case.validate_response(response, checks=STATEFUL, transport_kwargs=kwargs)

    Working.run(settings=settings(BOUNDED, max_examples=80, stateful_step_count=10))
    assert {201, 204, 404} <= set(statuses), "it went through whole lives"
