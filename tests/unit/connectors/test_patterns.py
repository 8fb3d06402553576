"""A pattern is matched as Python's own engine would, in work that no value can make long."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanyard.connectors.patterns import compiled

PATTERNS = [
    "a", "", "a|b|", "(a+)+", "(a|a)*b?", "[a-c]{2,3}", "[^a]*", ".*a.", "a??b+?", "(?:ab)*", "(?i:AB)c", "(?i)ab",
    "^a*$", r"\bab\b", r"\d+\w", "(a|(b|c){2})+", "(a?){3}b", "(a*)*", "(a{2}){2}|c", "(?P<x>a)b", r"\Aab\Z", "é*",
]  # fmt: skip
SLOW = [
    "(a+)+", "(a|a)*", "(a*)*b", "a?" * 40 + "a" * 40, ".*" * 60 + "x", "((a?){1000}){1000}b",
    "(" + "b?" * 60 + "a?){1000}",
]  # fmt: skip


@settings(max_examples=400)
@given(st.sampled_from(PATTERNS), st.text("abcABx1é ", max_size=8))
def test_it_agrees_with_the_engine_of_python(pattern: str, value: str) -> None:
    assert compiled(pattern)(value) == (re.compile(pattern, re.ASCII).fullmatch(value) is not None)


@pytest.mark.parametrize("pattern", SLOW)
def test_no_value_of_a_tenant_holds_the_loop(pattern: str) -> None:
    fits = compiled(pattern)
    began = time.process_time()
    assert not fits("a" * 1023 + "!")
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("pattern", ["(", "(?=a)a", r"(a)\1", "(?>a)", "a++"])
def test_what_needs_backtracking_is_no_pattern(pattern: str) -> None:
    with pytest.raises(re.error):
        compiled(pattern)
