import copy
import json
import logging
import pickle
from dataclasses import dataclass

import pytest

from lanyard.sensitive import MASK, Sensitive

CANARY = "c4n4ry"


@dataclass
class Holder:
    token: Sensitive


@pytest.mark.spec("C8", "A2")
@pytest.mark.parametrize(
    "shown",
    [
        str(Sensitive(CANARY)),
        repr(Sensitive(CANARY)),
        f"{Sensitive(CANARY)}",
        f"{Sensitive(CANARY)!r:>40}",
        "%s %r" % (Sensitive(CANARY), Sensitive(CANARY)),  # noqa: UP031 - what loggers do
        f"{Sensitive(CANARY):>40}",
        repr(Holder(Sensitive(CANARY))),
        repr({"a": [Sensitive(CANARY)]}),
        str(ValueError(Sensitive(CANARY))),
    ],
    ids=["str", "repr", "format", "format of repr", "percent", "format with width", "dataclass", "nested", "exception"],
)
def test_no_way_of_showing_a_sensitive_shows_its_value(shown: str) -> None:
    assert CANARY not in shown
    assert MASK in shown


def test_a_sensitive_is_never_serialised() -> None:
    for attempt in (pickle.dumps, copy.deepcopy, copy.copy, json.dumps):
        with pytest.raises(TypeError) as caught:
            attempt(Sensitive(CANARY))
        assert CANARY not in str(caught.value)


def test_a_sensitive_is_no_key_and_has_no_attributes() -> None:
    with pytest.raises(TypeError):
        hash(Sensitive(CANARY))
    assert not hasattr(Sensitive(CANARY), "__dict__")


def test_sensitives_compare_by_value_and_with_nothing_else() -> None:
    assert Sensitive("a") == Sensitive("a")
    assert Sensitive("a") != Sensitive("b")
    assert Sensitive("a") != "a"
    assert Sensitive("ü") == Sensitive("ü")


def test_an_empty_sensitive_is_false() -> None:
    assert not Sensitive("")
    assert Sensitive(" ")


def test_only_reveal_opens_a_sensitive() -> None:
    assert Sensitive(CANARY).reveal() == CANARY


def test_a_log_line_masks_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("lanyard").warning("token %s", Sensitive(CANARY))
    assert CANARY not in caplog.text
