"""When the bytes of a request leave."""

from typing import Any

import pytest

from lanyard.clients.dial import _Reader, _Stream
from lanyard.errors import SteppedBackError

pytestmark = pytest.mark.spec("C7")


class Peer:
    """The other end of a connection. `fails` is met by whoever waits until all has left."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.received: list[bytes] = []
        self.fails = fails

    def write(self, data: bytes) -> None:
        self.received.append(data)

    async def drain(self) -> None:
        if self.fails is not None:
            raise self.fails


def stream(peer: Any, answer: bytes = b"HTTP/1.1 200 OK", *, leads: bool = True) -> _Stream:
    reader = _Reader()
    reader.feed_data(answer)
    return _Stream(reader, peer, lambda: leads)


async def test_head_and_body_of_a_request_leave_together_when_an_answer_is_asked_for() -> None:
    peer = Peer()
    open_one = stream(peer)
    await open_one.write(b"POST /token\r\n\r\n")
    await open_one.write(b"grant_type=refresh_token")
    assert peer.received == []
    assert await open_one.read(100) == b"HTTP/1.1 200 OK"
    assert peer.received == [b"POST /token\r\n\r\ngrant_type=refresh_token"]
    await open_one.write(b"GET /")
    open_one._reader.feed_data(b"again")
    await open_one.read(100)
    assert peer.received[1:] == [b"GET /"]


async def test_who_leads_no_more_sends_no_byte_of_it() -> None:
    peer = Peer()
    open_one = stream(peer, leads=False)
    await open_one.write(b"POST /token\r\n\r\n")
    with pytest.raises(SteppedBackError):
        await open_one.read(100)
    assert peer.received == []


async def test_what_a_peer_said_before_it_closed_is_read() -> None:
    open_one = stream(Peer(ConnectionResetError()), b"HTTP/1.1 413 Too large")
    await open_one.write(b"POST /token\r\n\r\n")
    assert await open_one.read(100) == b"HTTP/1.1 413 Too large"
