"""An issuer that answers as told: discovery and keys over TLS on loopback, and the JWTs that it signs."""

import itertools
import time
import uuid
from dataclasses import dataclass
from typing import Any, Self

from support.claim_shapes import Shape
from support.jwts import IssuerKey, key_pair
from support.provider import Answer, Recorded, ScriptedProvider

AUDIENCE = "https://lanyard.test"
SUBJECT = "workload:crm"
LIFE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Fetches:
    """Requests that came for each document."""

    discovery: int
    keys: int


class StaticIssuer:
    """Serves in a thread of its own; `ca_pem` is what its certificate is trusted by.

    `path` belongs to the name: "/realms/acme", or "/" for an issuer whose name ends in a slash.
    """

    def __init__(self, path: str = "", *, algorithm: str = "RS256", certificate_for: str = "127.0.0.1") -> None:
        self._path = path
        self._server = ScriptedProvider(certificate_for=certificate_for)
        self._numbers = itertools.count(1)
        self.ca_pem = self._server.ca_pem
        self.keys: dict[str, IssuerKey] = {}
        self.add_key(algorithm)
        self.mend()

    @classmethod
    def like(cls, shape: Shape) -> Self:
        """A stand-in for a well-known issuer: same path, same algorithm."""
        return cls(shape.path, algorithm=shape.algorithm)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def url(self) -> str:
        """Its name: `iss` of its tokens."""
        return self._server.url + self._path

    @property
    def _base(self) -> str:
        return self._path.removesuffix("/")

    @property
    def discovery_path(self) -> str:
        return f"{self._base}/.well-known/openid-configuration"

    @property
    def keys_path(self) -> str:
        return f"{self._base}/keys"

    @property
    def keys_url(self) -> str:
        return self._server.url + self.keys_path

    # its keys

    @property
    def key(self) -> IssuerKey:
        """The newest."""
        return list(self.keys.values())[-1]

    def add_key(self, algorithm: str = "RS256", key_id: str = "") -> IssuerKey:
        """Published from now on; a `key_id` that is there already is replaced."""
        number = next(self._numbers)
        key = IssuerKey(key_id or f"key-{number}", algorithm, key_pair(algorithm, number))
        self.keys[key.key_id] = key
        return key

    def remove_key(self, key_id: str) -> IssuerKey:
        return self.keys.pop(key_id)

    def rotate(self, algorithm: str = "RS256") -> IssuerKey:
        """All keys give way to a new one."""
        self.keys.clear()
        return self.add_key(algorithm)

    # its documents

    def discovery(self, **changes: Any) -> dict[str, Any]:
        """What it publishes; a member changed to None is left out."""
        found = {
            "issuer": self.url,
            "jwks_uri": self.keys_url,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def key_set(self) -> dict[str, Any]:
        return {"keys": [key.jwk() for key in self.keys.values()]}

    def answer_discovery(self, *answers: Answer) -> None:
        """In turn, the last one staying: of_json(issuer.discovery(...), delay=3), of_redirect, of_size, ..."""
        self._server.script(self.discovery_path, *answers)

    def answer_keys(self, *answers: Answer) -> None:
        self._server.script(self.keys_path, *answers)

    def mend(self) -> None:
        """Everything is answered as it should be, as of the moment of the question."""
        self._server.script(self.discovery_path, self._discover)
        self._server.script(self.keys_path, self._publish)

    def script(self, path: str, *answers: Answer) -> None:
        """Somewhere else on the same host, such as where a redirect leads."""
        self._server.script(path, *answers)

    # who asked

    @property
    def fetches(self) -> Fetches:
        return Fetches(len(self.requests(self.discovery_path)), len(self.requests(self.keys_path)))

    def requests(self, path: str | None = None) -> list[Recorded]:
        return self._server.requests(path)

    def forget(self) -> None:
        self._server.forget()

    def wait_for_keys(self, count: int = 1, *, seconds: float = 10.0) -> list[Recorded]:
        """Until its keys were asked for so often; TimeoutError else."""
        return self._server.wait_for(count, self.keys_path, seconds=seconds)

    # its tokens

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims that hold now; one that is changed to None is left out."""
        now = int(time.time())
        found = {
            "iss": self.url,
            "sub": SUBJECT,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_SECONDS,
            "jti": uuid.uuid4().hex,
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def token(self, *, key: IssuerKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A JWT signed by `key`, the newest one unless told, with changes to header and claims."""
        return (key or self.key).token(self.claims(**claims), **(header or {}))

    def token_like(self, shape: Shape, *, audience: str = "", **changes: Any) -> str:
        """A JWT as that issuer makes them, in this one's name."""
        claims = shape.filled(issuer=self.url, audience=audience, **({"jti": uuid.uuid4().hex} | changes))
        if not shape.has_token_id and "jti" not in changes:
            del claims["jti"]
        return self.key.token(claims, **shape.header)

    def _discover(self, _: Recorded) -> Answer:
        return Answer.of_json(self.discovery(), headers={"Cache-Control": "public, max-age=3600"})

    def _publish(self, _: Recorded) -> Answer:
        return Answer.of_json(self.key_set(), headers={"Cache-Control": "public, max-age=600"})
