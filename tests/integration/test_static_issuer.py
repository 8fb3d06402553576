"""The issuer that other tests rely on answers as told, and says who asked."""

from collections.abc import Callable

import httpx
import jwt
import pytest

from support.certificates import authority_of_tests
from support.claim_shapes import ENTRA_V1, KEYCLOAK, SHAPES, Shape
from support.issuing import AUDIENCE, Fetches, StaticIssuer
from support.provider import RESET, Answer


def get(url: str, seconds: float = 10) -> httpx.Response:
    context = authority_of_tests().trusting_context()
    with httpx.Client(verify=context, trust_env=False, timeout=seconds) as client:
        return client.get(url)


def discover(issuer: StaticIssuer, seconds: float = 10) -> httpx.Response:
    return get(f"{issuer.url.removesuffix('/')}/.well-known/openid-configuration", seconds)


def verified(issuer: StaticIssuer, token: str, audience: str = AUDIENCE) -> dict[str, object]:
    """As a relying party does it that has nothing but the issuer's name."""
    keys = jwt.PyJWKSet.from_dict(get(discover(issuer).json()["jwks_uri"]).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    found: dict[str, object] = jwt.decode(
        token, key.key, algorithms=[key.algorithm_name], issuer=issuer.url, audience=audience
    )
    return found


def test_its_tokens_are_verified_with_what_it_publishes(issuer: StaticIssuer) -> None:
    assert verified(issuer, issuer.token(extra="yes"))["extra"] == "yes"
    assert issuer.fetches == Fetches(discovery=1, keys=1)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_it_stands_in_for_a_well_known_issuer(shape: Shape) -> None:
    with StaticIssuer.like(shape) as issuer:
        claims = verified(issuer, issuer.token_like(shape), shape.audience)
        assert claims["sub"] == shape.subject
        assert issuer.url.endswith(shape.path)


@pytest.mark.parametrize("shape", [KEYCLOAK, ENTRA_V1], ids=lambda shape: shape.name)
def test_its_name_keeps_a_path_and_a_slash_at_the_end(shape: Shape) -> None:
    with StaticIssuer.like(shape) as issuer:
        assert discover(issuer).json()["issuer"] == issuer.url


def test_a_rotated_key_takes_the_place_of_the_others(issuer: StaticIssuer) -> None:
    before = issuer.token()
    newer = issuer.rotate("ES256")
    assert [key["kid"] for key in issuer.key_set()["keys"]] == [newer.key_id]
    assert verified(issuer, issuer.token())
    with pytest.raises(KeyError):
        verified(issuer, before)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param(lambda issuer: Answer(503), 503, id="it is out of order"),
        pytest.param(lambda issuer: Answer.of_redirect(issuer.keys_url), 302, id="it sends people elsewhere"),
        pytest.param(lambda issuer: Answer.of_json(issuer.discovery(issuer="https://x")), 200, id="it lies"),
        pytest.param(lambda issuer: Answer.of_size(300_000), 200, id="it talks too much"),
    ],
)
def test_its_answers_go_wrong_on_command(
    issuer: StaticIssuer, answer: Callable[[StaticIssuer], Answer], status: int
) -> None:
    issuer.answer_discovery(answer(issuer))
    assert discover(issuer).status_code == status
    issuer.mend()
    assert discover(issuer).json()["issuer"] == issuer.url
    assert issuer.fetches == Fetches(discovery=2, keys=0)


def test_it_can_be_slow_or_hang_up(issuer: StaticIssuer) -> None:
    issuer.answer_discovery(Answer.of_json(issuer.discovery(), delay=5), RESET)
    with pytest.raises(httpx.ReadTimeout):
        discover(issuer, seconds=0.2)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        discover(issuer)
