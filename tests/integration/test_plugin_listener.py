"""The listener of `authorize` as a browser, a script and somebody else's page meet it, over real sockets."""

from collections.abc import Iterator

import httpx
import pytest

from lanyard.entry.plugin.faults import PluginError
from lanyard.entry.plugin.listener import Listener

pytestmark = pytest.mark.spec("C4", "K7")

PAGE = "https://lanyard.example/connect/sales/crm"
NONCE = "n" * 43
HASH = "h" * 43


class Taken:
    """Collects what is handed in; `refuse` makes it fail."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.refuse: PluginError | None = None

    def __call__(self, found: str) -> None:
        self.hashes.append(found)
        if self.refuse:
            raise self.refuse


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def listener(taken: Taken) -> Iterator[Listener]:
    with Listener(nonce=NONCE, back=PAGE, take=taken) as running:
        yield running


def get(listener: Listener, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{listener.port}{path}", headers=headers, trust_env=False)


def test_the_hash_is_taken_and_the_browser_sent_back_to_its_page(listener: Listener, taken: Taken) -> None:
    answer = get(listener, f"/{NONCE}?hash={HASH}")
    assert (answer.status_code, answer.headers["Location"], answer.content) == (303, PAGE, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Server" not in answer.headers
    assert listener.wait(5)
    assert taken.hashes == [HASH]


STRANGE = {
    "a nonce that is too short": f"/{NONCE[:-1]}?hash={HASH}",
    "a nonce that is too long": f"/{NONCE}x?hash={HASH}",
    "no nonce": f"/?hash={HASH}",
    "no hash": f"/{NONCE}",
    "a hash that is too short": f"/{NONCE}?hash=short",
    "a hash with a user": f"/{NONCE}?hash={HASH}.ann",
    "a line break": f"/{NONCE}?hash={HASH}%0d%0aX:1",
    "two hashes": f"/{NONCE}?hash={HASH}&hash={HASH}",
    "a letter beyond ASCII": f"/%C3%A9?hash={HASH}",
}


@pytest.mark.parametrize("path", STRANGE.values(), ids=STRANGE.keys())
def test_anything_else_is_not_found_and_the_listener_goes_on(listener: Listener, taken: Taken, path: str) -> None:
    answer = get(listener, path)
    assert (answer.status_code, answer.content) == (404, b"")
    assert "Location" not in answer.headers
    assert not listener.wait(0)
    assert get(listener, f"/{NONCE}?hash={HASH}").status_code == 303
    assert taken.hashes == [HASH]


@pytest.mark.parametrize("host", ["attacker.example", "localhost:1", "127.0.0.1"])
def test_a_name_that_was_rebound_to_loopback_is_refused(listener: Listener, taken: Taken, host: str) -> None:
    assert get(listener, f"/{NONCE}?hash={HASH}", Host=host).status_code == 404
    assert taken.hashes == []


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "HEAD"])
def test_only_a_navigation_is_answered(listener: Listener, taken: Taken, method: str) -> None:
    url = f"http://127.0.0.1:{listener.port}/{NONCE}?hash={HASH}"
    assert httpx.request(method, url, trust_env=False).status_code >= 400
    assert taken.hashes == []


def test_a_second_hash_changes_nothing(listener: Listener, taken: Taken) -> None:
    get(listener, f"/{NONCE}?hash={HASH}")
    assert get(listener, f"/{NONCE}?hash={'x' * 43}").headers["Location"] == PAGE
    assert taken.hashes == [HASH]


def test_a_refusal_is_told_to_the_command_and_the_browser_goes_to_its_page(listener: Listener, taken: Taken) -> None:
    taken.refuse = PluginError("no right")
    assert get(listener, f"/{NONCE}?hash={HASH}").headers["Location"] == PAGE
    with pytest.raises(PluginError, match="no right"):
        listener.wait(5)


def test_nobody_listens_afterwards(taken: Taken) -> None:
    with Listener(nonce=NONCE, back=PAGE, take=taken) as running:
        port = running.port
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/{NONCE}?hash={HASH}", trust_env=False)
