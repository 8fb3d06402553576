"""A provider that gives grants, with the rotation of refresh tokens that a test asks for, and counts what was spent.

It acts as soon as a request is complete: whatever becomes of its answer, a refresh token that came is spent.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from support.provider import Answer, Recorded, ScriptedProvider


class Policy(Enum):
    """What becomes of a refresh token that is used; the values are those of a Connector's `rotation.mode`."""

    FIXED = "fixed"
    ROTATES = "rotates"
    """Each is taken once. One that comes again ends the whole family (RFC 9700, section 4.14.2)."""
    GRACE = "rotatesWithGrace"
    """The one before is taken for `GRACE_SECONDS` more, then as with ROTATES."""


GRACE_SECONDS = 60.0
INVALID = Answer.of_error("invalid_grant")


@dataclass(slots=True)
class _Family:
    """All tokens that come from one consent."""

    client: str
    policy: Policy
    current: str
    retired: dict[str, float] = field(default_factory=dict)
    access: dict[str, float] = field(default_factory=dict)
    ended: bool = False


class GrantingProvider(ScriptedProvider):
    """Codes, grants and tokens of clients named by their client id. Policy and `life` of tokens are per client."""

    def __init__(self) -> None:
        super().__init__(tls=False)
        self.policies: dict[str, Policy] = {}
        self.lives: dict[str, float] = {}
        self.uses: Counter[str] = Counter()
        """How often each refresh token and each code came."""
        self._families: list[_Family] = []
        self._codes: dict[str, tuple[str, _Family | None]] = {}
        self._made: Counter[str] = Counter()
        self._guard = threading.RLock()
        self.script("/token", self._token)
        self.script("/device", self._device)
        self.script("/revoke", self._revoke)
        self.script("/me", self._me)

    # what tests ask

    def code(self, client: str) -> str:
        """As a person who agrees makes one."""
        with self._guard:
            code = self._new("code", client)
            self._codes[code] = (client, None)
            return code

    def accepts(self, access_token: str) -> bool:
        with self._guard:
            return any(
                not family.ended and family.access.get(access_token, 0) > time.monotonic() for family in self._families
            )

    def newest(self, client: str) -> str:
        """The access token that was given last."""
        with self._guard:
            return next(
                (next(reversed(one.access)) for one in reversed(self._families) if one.client == client and one.access),
                "",
            )

    def end(self, client: str) -> None:
        """As somebody who takes the access back at the provider."""
        with self._guard:
            for family in self._families:
                family.ended = family.ended or family.client == client

    def living(self, client: str) -> int:
        """How many grants of this client have not ended."""
        with self._guard:
            return sum(not family.ended for family in self._families if family.client == client)

    def most_used(self, client: str, kind: str) -> int:
        """How often the refresh token (`rt`) or the code (`code`) came that came most often."""
        with self._guard:
            return max(
                (count for token, count in self.uses.items() if token.startswith(f"{kind}.{client}.")), default=0
            )

    # what it answers

    def _token(self, request: Recorded) -> Answer:
        form = request.form
        client = form.get("client_id", "")
        with self._guard:
            match form.get("grant_type"):
                case "client_credentials":
                    return self._given(self._begun(client, Policy.FIXED), with_refresh=False)
                case "authorization_code":
                    return self._exchanged(client, form.get("code", ""))
                case "urn:ietf:params:oauth:grant-type:device_code":
                    return self._exchanged(client, form.get("device_code", ""))
                case "refresh_token":
                    return self._refreshed(client, form.get("refresh_token", ""))
                case _:
                    return Answer.of_error("unsupported_grant_type")

    def _device(self, request: Recorded) -> Answer:
        """Somebody agrees at once."""
        body = {"user_code": "WDJB-MJHT", "verification_uri": "https://login.example.com/device", "expires_in": 600}
        return Answer.of_json(body | {"device_code": self.code(request.form.get("client_id", "")), "interval": 1})

    def _exchanged(self, client: str, code: str) -> Answer:
        self.uses[code] += 1
        owner, family = self._codes.get(code, ("", None))
        if owner != client:
            return INVALID
        if family is not None:  # RFC 6749, section 4.1.2: used twice, what it gave is taken back
            family.ended = True
            return INVALID
        family = self._begun(client, self.policies.get(client, Policy.FIXED))
        self._codes[code] = (client, family)
        return self._given(family, with_refresh=True)

    def _refreshed(self, client: str, token: str) -> Answer:
        self.uses[token] += 1
        for family in self._families:
            if family.client == client and token in (family.current, *family.retired):
                return self._spent(family, token)
        return INVALID

    def _spent(self, family: _Family, token: str) -> Answer:
        if family.ended:
            return INVALID
        if family.policy is Policy.FIXED:
            return self._given(family, with_refresh=False)
        in_grace = family.policy is Policy.GRACE and time.monotonic() < family.retired.get(token, 0) + GRACE_SECONDS
        if token != family.current and not in_grace:
            family.ended = True
            return INVALID
        family.retired.setdefault(family.current, time.monotonic())
        family.current = self._new("rt", family.client)
        return self._given(family, with_refresh=True)

    def _revoke(self, request: Recorded) -> Answer:
        token = request.form.get("token", "")
        with self._guard:
            for family in self._families:
                if token in (family.current, *family.retired):
                    family.ended = True
                family.access.pop(token, None)
        return Answer()

    def _me(self, request: Recorded) -> Answer:
        token = (request.header("Authorization") or "").removeprefix("Bearer ")
        return Answer.of_json({"email": "bot@acme.com"}) if self.accepts(token) else Answer(401)

    def _begun(self, client: str, policy: Policy) -> _Family:
        family = _Family(client, policy, self._new("rt", client))
        self._families.append(family)
        return family

    def _given(self, family: _Family, *, with_refresh: bool) -> Answer:
        life = self.lives.get(family.client, 3600.0)
        access = self._new("at", family.client)
        family.access[access] = time.monotonic() + life
        return Answer.of_token(access, expires_in=int(life), refresh_token=family.current if with_refresh else None)

    def _new(self, kind: str, client: str) -> str:
        self._made[kind] += 1
        return f"{kind}.{client}.{self._made[kind]}"
