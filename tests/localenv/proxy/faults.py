"""What the fault proxy may do to a request: rules with a match and a number of uses, tried in order."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Action(StrEnum):
    FAIL = "fail"
    GONE_HTTP = "gone-http"
    GONE_STREAM = "gone-stream"
    HOLD_BEFORE = "hold-before"
    HOLD_AFTER = "hold-after"
    DROP_ANSWER = "drop-answer"
    RESET = "reset"
    SLOW = "slow"


HOLDS = frozenset({Action.HOLD_BEFORE, Action.HOLD_AFTER})
GONE = frozenset({Action.GONE_HTTP, Action.GONE_STREAM})
REASONS = {409: "Conflict", 429: "TooManyRequests", 503: "ServiceUnavailable"}
WATCH = re.compile(r"[?&]watch=(?:true|1)\b")


def status_object(code: int, reason: str, message: str) -> dict[str, Any]:
    """A Kubernetes Status, the body of every refusal of an API server."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


EXPIRED = status_object(410, "Expired", "too old resource version: 1 (2)")


@dataclass(slots=True)
class Rule:
    """`count` uses left, None = no limit; `path_regex` is searched in path and query as they were sent."""

    action: Action
    method: str | None = None
    path_regex: re.Pattern[str] | None = None
    count: int | None = None
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Self:
        match = fields.pop("match", None) or {}
        unknown = set(match) - {"method", "path_regex"}
        if unknown:
            raise ValueError(f"a match has method and path_regex, not {', '.join(sorted(unknown))}")
        body = fields.pop("body", None)
        rule = cls(
            action=Action(fields.pop("action")),
            method=match.get("method"),
            path_regex=re.compile(match["path_regex"]) if match.get("path_regex") else None,
            **fields,
        )
        if body is not None:
            rule.body = body.encode()
        elif rule.action is Action.FAIL:
            reason = REASONS.get(rule.status, "InternalError")
            rule.body = json.dumps(status_object(rule.status, reason, "injected by the fault proxy")).encode()
            rule.headers.setdefault("Content-Type", "application/json")
        return rule

    def takes(self, method: str, path: str) -> bool:
        if self.method is not None and self.method != method:
            return False
        if self.action in GONE and not WATCH.search(path):
            return False
        return self.path_regex is None or self.path_regex.search(path) is not None


class Rules:
    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._parked: set[asyncio.Event] = set()

    def add(self, rule: Rule) -> None:
        self._rules.append(rule)

    def take(self, method: str, path: str) -> Rule | None:
        for rule in self._rules:
            if not rule.takes(method, path):
                continue
            if rule.count is not None:
                rule.count -= 1
                if rule.count <= 0:
                    self._rules.remove(rule)
            return rule
        return None

    async def park(self) -> None:
        event = asyncio.Event()
        self._parked.add(event)
        try:
            await event.wait()
        finally:
            self._parked.discard(event)

    @property
    def parked(self) -> int:
        return len(self._parked)

    def release(self) -> None:
        """Let every held request go on, and hold no more."""
        self._rules = [rule for rule in self._rules if rule.action not in HOLDS]
        for event in self._parked:
            event.set()

    def clear(self) -> None:
        self.release()
        self._rules.clear()
