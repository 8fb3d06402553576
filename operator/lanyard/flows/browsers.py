"""The cookie that makes a browser known again: sealed with the ring `token`, so that nobody else can write one."""

import json
import secrets
from datetime import datetime

from lanyard.errors import LanyardError
from lanyard.rules.consent import SECRET_BYTES, Browser, is_browser_secret
from lanyard.sensitive import Sensitive
from lanyard.stores.keyring import Context, Keyring

_PLACE = Context("cookie", "", "")
"""The Connection is inside: at the callback nothing else says which one it is."""
_NONCE = 12
_LONGEST = 4096


def new_browser(*, uid: str, owner: str, now: datetime) -> Browser:
    return Browser(Sensitive(secrets.token_urlsafe(SECRET_BYTES)), uid, owner, now)


def sealed_browser(keyring: Keyring, browser: Browser, *, now: datetime) -> str:
    """The cookie's value."""
    plain = {
        "secret": browser.secret.reveal(),
        "uid": browser.uid,
        "owner": browser.owner,
        "started_at": browser.started_at.isoformat(),
    }
    text = json.dumps(plain, separators=(",", ":")).encode()
    return keyring.seal(text, _PLACE, now=now, nonce=secrets.token_bytes(_NONCE))


def opened_browser(keyring: Keyring, unverified_cookie: str) -> Browser | None:
    """None for what was not sealed here."""
    if not unverified_cookie or len(unverified_cookie) > _LONGEST:
        return None
    try:
        plain = json.loads(keyring.open(unverified_cookie, _PLACE))
        if not is_browser_secret(plain["secret"]):
            return None
        return Browser(
            Sensitive(plain["secret"]), plain["uid"], plain["owner"], datetime.fromisoformat(plain["started_at"])
        )
    except (LanyardError, ValueError, KeyError, TypeError):
        return None
