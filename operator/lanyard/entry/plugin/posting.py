"""One form posted to the gateway: what it answers is read, never followed and never shown as it is."""

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from lanyard.sensitive import Sensitive

SECONDS = 20.0
LARGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the token endpoint (RFC 6749 5.1, 5.2). `said` has no token in it; `token` is empty without one."""

    status: int
    request_id: str
    retry_after: str
    said: Mapping[str, Any]
    token: Sensitive


Post = Callable[[str, Mapping[str, str], str | None], Reply]
"""Address, form, path of a CA bundle (None: those of the machine). OSError when nobody answers, or not in time."""


def post(url: str, form: Mapping[str, str], authorities: str | None) -> Reply:
    """The real one. Redirects are not followed: the answer of somebody else would count as the gateway's."""
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise ValueError("not an https address")
    trust = ssl.create_default_context(cafile=authorities)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), _Stay)
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode(), method="POST")  # noqa: S310 - as above
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return reply(answer.status, dict(answer.headers.items()), answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return reply(refusal.code, dict(refusal.headers.items()), refusal)


def reply(status: int, headers: Mapping[str, str], body: IO[bytes]) -> Reply:
    """What is no JSON object counts as nothing said."""
    named = {name.lower(): value for name, value in headers.items()}
    try:
        found = json.loads(body.read(LARGEST_ANSWER))
    except ValueError:
        found = None
    said = found if isinstance(found, dict) else {}
    token = said.pop("access_token", "")
    return Reply(
        status=status,
        request_id=named.get("x-request-id", ""),
        retry_after=named.get("retry-after", ""),
        said=said,
        token=Sensitive(token if isinstance(token, str) else ""),
    )


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
