"""What must hold in every week, whatever the weather: looked at from outside, at each request, write and pass."""

import json
from base64 import b64decode
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lanyard.clients.http import Answer
from lanyard.flows.keys import Key
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Reason, Retry
from lanyard.rules.grants import LAST_MOMENT, Stored
from lanyard.rules.schedule import is_ahead
from lanyard.rules.status import moment
from lanyard.stores.grants import FIELD, GrantStore
from lanyard.stores.keyring import Context
from support.week_cluster import Change, Object
from support.week_operator import INSTALL, ModelOperator
from support.week_provider import Family

NAMESPACE, NAME, UID = "team", "crm", "uid-of-crm"
OWNER = f"{NAMESPACE}/{NAME}"
CONNECTION = f"/apis/lanyard.dev/v1alpha1/namespaces/{NAMESPACE}/connections/{NAME}"
STATE = f"/api/v1/namespaces/lanyard-system/secrets/grant-{UID}"
WORKLOAD = f"/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}-token"
TRAVEL = timedelta(seconds=5)
"""What lies between a decision and the moment at which its request arrives."""
JUST_NOW = 90.0
HOUR = 3600.0


@dataclass
class Use:
    """A refresh token that has arrived at the provider. `open`: nobody can be sure whether it was spent."""

    token: str
    operator: ModelOperator
    at: datetime
    open: bool = True
    flying: bool = True

    @property
    def under_way(self) -> bool:
        return self.flying and not self.operator.dead


@dataclass(frozen=True)
class Delivered:
    """Tokens that a living process has been given."""

    operator: ModelOperator
    family: Family
    access_token: str
    refresh_token: str


class Judge:
    """`violations` is empty in a good week. `week` is what it looks at."""

    def __init__(self, week: Any) -> None:
        self.violations: list[str] = []
        self.stored: Stored | None = None
        self.kept: set[str] = set()
        """Every token that has ever been in the state Secret."""
        self.excused: set[int] = set()
        """Families whose refresh token may be lost: an answer was, or a process between answer and write."""
        self.requests: list[float] = []
        self._week = week
        self._states: list[Stored] = []
        self._uses: dict[str, list[Use]] = defaultdict(list)
        self._delivered: list[Delivered] = []
        self._store = GrantStore(None, "lanyard-system", lambda: week.ring, INSTALL)  # type: ignore[arg-type]

    def fault(self, error: Exception) -> None:
        self.blame(f"a pass ended in a fault: {error!r}")

    # the provider's side

    def received(self, operator: ModelOperator, form: dict[str, str]) -> Use:
        now = self._week.now()
        token = form.get("refresh_token") or form["code"]
        uses = self._uses[token]
        use = Use(token, operator, now)
        if "refresh_token" in form:
            self.requests.append(self._week.time())
            self._look_at_use(use, [one for one in uses if one.open])
        elif uses:
            self.blame("a code is spent twice")
        uses.append(use)
        return use

    def _look_at_use(self, use: Use, before: list[Use]) -> None:
        stored, now = self.stored, use.at
        family = self._week.provider.by_refresh[use.token]
        theirs = next((one for one in reversed(self._states) if _refresh_token(one) == use.token), None)
        if theirs is None:
            self.blame("a refresh token is sent that was never kept")
            return
        is_stored = stored is not None and _refresh_token(stored) == use.token
        if is_stored and stored is not None and stored.ended is not None:
            self.blame("a grant that has ended is asked for again")
        if self._week.declared == "fixed" and not theirs.grant.rotated:
            return
        if any(one.under_way for one in before):
            self.blame("two requests spend one refresh token at a time")
        if self._week.jumped_lately():
            return
        if stored is not None and not is_stored and self._family_of(stored) is family:
            self.blame("a refresh token is sent that has been replaced")
        if is_stored and stored is not None:
            announced = stored.intent is not None and now < stored.intent.not_after + TRAVEL
            if not announced:
                self.blame("a refresh token is spent that nobody has announced")
        if before and not self._may_repeat(theirs, before, now):
            self.blame("a refresh token is spent twice")
        elif before:
            self.excused.add(family.number)

    def _may_repeat(self, stored: Stored, before: list[Use], now: datetime) -> bool:
        if self._week.declared == "rotatesWithGrace" and now < before[0].at + self._week.declared_grace + TRAVEL:
            return True
        expires_at = stored.grant.expires_at
        return expires_at is None or now >= expires_at - LAST_MOMENT - TRAVEL

    def answered(self, operator: ModelOperator, use: object, came: Answer | None, *, definite: bool) -> None:
        assert isinstance(use, Use)
        use.flying = False
        if not definite:
            self._excuse(use.token)
            return
        if came is None or came.status != 200:
            use.open = False
            return
        body = json.loads(came.body)
        use.open = body["refresh_token"] != use.token
        family = self._week.provider.access[body["access_token"]].family
        self._delivered.append(Delivered(operator, family, body["access_token"], body["refresh_token"]))

    def killed(self, operator: ModelOperator) -> None:
        """What it had under way may be lost, and what it was given and had not written."""
        for use in [use for uses in self._uses.values() for use in uses if use.operator is operator and use.flying]:
            self._excuse(use.token)
        for one in self._delivered:
            if one.operator is operator and one.refresh_token not in self.kept:
                self.excused.add(one.family.number)

    def _excuse(self, token: str) -> None:
        family = self._week.provider.by_refresh.get(token)
        if family is not None:
            self.excused.add(family.number)

    def _family_of(self, stored: Stored) -> Family | None:
        found: Family | None = self._week.provider.by_refresh.get(_refresh_token(stored))
        return found

    # the cluster's side

    def saw(self, change: Change) -> None:
        if (
            change.path == WORKLOAD
            and change.after is not None
            and _text(change.after, "access_token") not in self.kept
        ):
            self.blame("a token is published that was not kept before")
        if change.path != STATE:
            return
        before = self.stored
        if change.after is None:
            self.stored = None
            return
        after = self.stored = self._store.opened(change.after, Context(FIELD, UID, OWNER))
        self._states.append(after)
        if after.grant.access_token.reveal() not in self.kept:
            # It was answered with what had been sent: whatever came before has not spent it.
            for use in self._uses[_refresh_token(after)]:
                use.open = use.under_way
        self.kept |= {after.grant.access_token.reveal(), _refresh_token(after)}
        if before is not None and before.intent is not None and after.intent is not None:
            self._look_at_intents(before, after)
        if before is not None and self._is_older(after, before):
            self.blame("what a newer consent brought is replaced by what an older one did")
        if before is not None and after.grant.generation < before.grant.generation:
            self.blame("a grant is replaced by an older one")

    def _is_older(self, after: Stored, before: Stored) -> bool:
        one, other = self._family_of(after), self._family_of(before)
        return one is not None and other is not None and one.number < other.number

    def _look_at_intents(self, before: Stored, after: Stored) -> None:
        one, other = before.intent, after.intent
        assert one is not None
        assert other is not None
        now = self._week.now()
        both_live = now < min(one.not_after, other.not_after) and one.generation == before.grant.generation
        is_dated = not is_ahead(one.started_at, now)
        if one.id != other.id and both_live and is_dated and not self._week.jumped_lately():
            self.blame("two intents live at a time")

    # the operator's side

    def after_pass(self, operator: ModelOperator, key: Key) -> None:
        """C+2: a next attempt, or a condition that names what is waited for."""
        if operator.dead:
            return
        record = operator.world.get(key)
        queue = operator.queue
        if record is None or key in queue._waiting | queue._again or queue.appointment(key) is not None:
            return
        status = record.parsed_status()
        ready = _condition(status, "Ready")
        waits = (
            ready is not None
            and ready["status"] == "False"
            and (
                ready["reason"] in {"Suspended", "TokenExpired"}
                or CATALOGUE[Reason(ready["reason"])].retry in {Retry.CONSENT, Retry.ON_CHANGE}
            )
        )
        if not waits and not (self._week.suspended or "expiresAt" not in status):
            self.blame(f"nothing is to come, and the status says {ready}")

    def look(self) -> None:
        """The published token, as a workload meets it."""
        secret, status = self._week.cluster.objects.get(WORKLOAD), self.status
        ready = _condition(status, "Ready")
        self._count_passes()
        if secret is None or ready is None or not self._week.is_quiet():
            return
        told = moment(_text(secret, "expires_at"))
        if ready["status"] != "True" or self._week.suspended:
            return
        if told is not None and self._week.now() > told + timedelta(seconds=JUST_NOW):
            self.blame("Ready, and the published token has expired")
        fresh = _condition(status, "TokenFresh")
        token = _text(secret, "access_token")
        if self._week.provider.is_live(token) or (fresh is not None and fresh["status"] == "False"):
            return
        issued = self._week.provider.access[token]
        if issued.killed_at > issued.dies_at and self._week.jumped_since(issued.dies_at):
            return
        if self._week.time() - JUST_NOW < issued.killed_at < issued.dies_at:
            # A refresh kills it at once, and takes a moment to publish what it brought.
            return
        if issued.family.revoked:
            self._look_at_revoked(issued.family, status)
        elif told is None or self._week.now() < told:
            self.blame("Ready and fresh, and the published token is dead")

    def _look_at_revoked(self, family: Family, status: Object) -> None:
        """Nobody knows before the provider is asked again."""
        stored = self.stored
        if stored is None or stored.ended is None or self._family_of(stored) is not family:
            return
        authorized = _condition(status, "Authorized")
        if authorized is None or authorized["status"] != "False":
            self.blame("the grant has ended, and the status says authorized")

    def _count_passes(self) -> None:
        now, allowed = self._week.time(), self._week.passes_an_hour
        for operator in self._week.operators:
            lately = sum(at > now - HOUR for at in operator.passes[-1000:])
            if lately > allowed:
                self.blame(f"a hot loop: {lately} passes in an hour")
        lately = sum(at > now - HOUR for at in self.requests[-1000:])
        if lately > allowed:
            self.blame(f"a hot loop: {lately} requests in an hour")

    def close(self) -> None:
        """After the calm that ends a week: everything that can be well is well."""
        for one in self._delivered:
            is_replaced = self.stored is not None and self._family_of(self.stored) is not one.family
            if not (one.refresh_token in self.kept or one.operator.dead or is_replaced):
                self.blame("a token that was received is lost")
        stored, status = self.stored, self.status
        ready, authorized = _condition(status, "Ready"), _condition(status, "Authorized")
        assert ready is not None
        if stored is None:
            if ready["status"] != "False" or authorized is None or authorized["status"] != "False":
                self.blame(f"no grant, and the status says {ready}")
            return
        family = self._family_of(stored)
        assert family is not None
        is_current = _refresh_token(stored) == family.current
        if not family.revoked and is_current:
            self._look_at_good_end(stored, ready)
            return
        if family.number not in self.excused and family.revoked != "user":
            self.blame(f"the refresh token was lost without need ({family.revoked or 'not current'})")
        if stored.ended is None:
            self.blame("the grant is over, and nobody has noticed")
        if authorized is None or authorized["status"] != "False":
            self.blame("the grant is over, and the status says authorized")

    def _look_at_good_end(self, stored: Stored, ready: Object) -> None:
        secret = self._week.cluster.objects.get(WORKLOAD)
        if stored.ended is not None:
            self.blame("a living grant was given up")
        elif ready["status"] != "True":
            self.blame(f"the grant lives, and the status says {ready}")
        elif secret is None or not self._week.provider.is_live(_text(secret, "access_token")):
            self.blame("the grant lives, and the published token does not")

    @property
    def status(self) -> Object:
        status: Object = self._week.cluster.objects[CONNECTION].get("status") or {}
        return status

    def blame(self, what: str) -> None:
        if len(self.violations) < 5:
            self.violations.append(f"at {self._week.time():.0f} s ({self._week.now():%d %H:%M:%S}): {what}")


def _refresh_token(stored: Stored) -> str:
    return stored.grant.refresh_token.reveal() if stored.grant.refresh_token is not None else ""


def _condition(status: Object, name: str) -> Object | None:
    return next((one for one in status.get("conditions") or () if one["type"] == name), None)


def _text(secret: Object, name: str) -> str:
    return b64decode(secret["data"][name]).decode()
