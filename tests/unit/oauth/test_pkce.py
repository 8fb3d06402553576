"""RFC 7636."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.errors import LanyardError
from lanyard.oauth.pkce import code_challenge, code_verifier
from lanyard.sensitive import Sensitive


@pytest.mark.spec("C5")
def test_the_challenge_is_that_of_the_example_of_rfc_7636_appendix_b() -> None:
    verifier = Sensitive("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@given(st.binary(min_size=32, max_size=96))
def test_a_verifier_has_the_characters_and_the_length_of_the_rfc(random: bytes) -> None:
    verifier = code_verifier(random).reveal()
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier)


@pytest.mark.parametrize("size", [0, 31, 97])
def test_too_little_randomness_is_refused(size: int) -> None:
    with pytest.raises(LanyardError):
        code_verifier(b"x" * size)
