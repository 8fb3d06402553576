"""Scopes in words, as far as words are known; the scope itself always stands beside them."""

import re

_KNOWN = {
    "openid": "Know that it is you",
    "profile": "See your name and picture",
    "email": "See your e-mail address",
    "address": "See your postal address",
    "phone": "See your telephone number",
    "offline_access": "Stay connected while you are away, until you take it back",
    "offline": "Stay connected while you are away, until you take it back",
    "refresh_token": "Stay connected while you are away, until you take it back",
    "api": "Use the product's programming interface in your name",
    "full": "Everything that you may do yourself",
}
_READS = re.compile(r"(^|[.:_/-])(read|readonly|read_only|list|get|view)($|[.:_/-])", re.IGNORECASE)
_CHANGES = re.compile(
    r"(^|[.:_/-])(write|readwrite|manage|edit|create|update|send|delete|admin|full|modify)($|[.:_/-])", re.IGNORECASE
)


def in_words(scope: str) -> str:
    """A short sentence without its stop."""
    known = _KNOWN.get(scope.lower())
    if known is not None:
        return known
    if _CHANGES.search(scope):
        return "Read and change what this permission covers"
    if _READS.search(scope):
        return "Read what this permission covers"
    return "Use what this permission covers"
