"""The API server: the few calls that Lanyard makes, on plain dictionaries.

A thin client of our own because a status write through the generated one costs 1.4 ms of CPU against 0.5 ms
(research/kopf.md 2), and a refresh makes two. Errors are `KubernetesError`; code 0 means that no answer came.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import aiohttp

from lanyard.api.meta import FIELD_MANAGER
from lanyard.clients.kubeconfig import BearerToken, KubeConfig, open_session
from lanyard.errors import KubernetesError, KubernetesStatus, SteppedBackError
from lanyard.sensitive import Sensitive

PAGE = 500
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PLAIN = "application/json"
KEY_SET = "application/jwk-set+json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `version` is the resourceVersion to watch from."""

    items: list[Object]
    version: str


class Kube:
    """Use as an async context manager, in one loop.

    `may_overwrite` is asked for each write that takes whatever is there for its own, right before its bytes are
    written: it may have waited for a connection. Who may not still creates what is not there and changes what is as it
    was read: a grant that was received is kept by such a write.
    """

    def __init__(
        self,
        config: KubeConfig,
        *,
        connections: int = 16,
        deadline: float = 30.0,
        may_overwrite: Callable[[], bool] = lambda: True,
    ) -> None:
        self._config = config
        self._may_overwrite = may_overwrite
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(total=deadline, connect=5.0)
        self._session: aiohttp.ClientSession | None = None
        self._watching: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        bearer = BearerToken(self._config)
        self._session = open_session(self._config, connections=self._connections, bearer=bearer, before=self._before)
        # A watch holds its connection for ever; among the others, a few dozen would leave none for the calls.
        self._watching = open_session(self._config, connections=0, bearer=bearer)
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (self._session, self._watching):
            if session is not None:
                await session.close()

    async def get(self, path: str, *, metadata_only: bool = False, accept: str = PLAIN) -> Object:
        return await self._call("GET", path, accept=METADATA if metadata_only else accept)

    async def dated_metadata(self, path: str) -> tuple[Object, datetime]:
        """The metadata of an object, and what time it is by the API server's clock (RFC 9110 6.6.1), whose clock also
        dates what is in it.
        """
        answer, headers = await self._exchange("GET", path, accept=METADATA)
        try:
            return answer["metadata"], parsedate_to_datetime(headers.get("Date", ""))
        except ValueError:
            raise KubernetesError(KubernetesStatus(0, "NoDate")) from None

    async def create(self, path: str, body: Object) -> Object:
        return await self._call("POST", path, body=body, params={"fieldManager": FIELD_MANAGER})

    async def apply(self, path: str, body: Object) -> Object:
        """Server-side apply that takes over conflicting fields: what is ours is ours, as long as this process leads."""
        params = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("PATCH", path, body=body, params=params, content_type=APPLY)

    async def remove_keys(self, path: str, secret: Object, keys: frozenset[str]) -> Object:
        """Take keys out of a Secret as it was last seen; a change in between answers 409."""
        metadata = {"uid": secret["metadata"]["uid"], "resourceVersion": secret["metadata"]["resourceVersion"]}
        body = {"metadata": metadata, "data": dict.fromkeys(keys)}
        return await self._call("PATCH", path, body=body, params={"fieldManager": FIELD_MANAGER}, content_type=MERGE)

    async def merge(self, path: str, body: Object) -> Object:
        """A JSON merge patch (RFC 7386). A `metadata.resourceVersion` in it is a precondition: otherwise 409."""
        return await self._call("PATCH", path, body=body, params={"fieldManager": FIELD_MANAGER}, content_type=MERGE)

    async def delete(self, path: str, *, uid: str, version: str | None = None) -> None:
        """Delete exactly this object: the uid is a precondition, and so is the resourceVersion where one is given."""
        exact = {"uid": uid} | ({"resourceVersion": version} if version is not None else {})
        await self._call("DELETE", path, body={"preconditions": exact})

    async def pages(self, path: str, *, selector: str = "", metadata_only: bool = False) -> AsyncIterator[Page]:
        """A consistent list, a page at a time."""
        params = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        accept = METADATA_LIST if metadata_only else PLAIN
        while True:
            answer = await self._call("GET", path, params=params, accept=accept)
            metadata = answer.get("metadata", {})
            yield Page(answer.get("items") or [], metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            params["continue"] = metadata["continue"]

    async def watch(
        self, path: str, *, version: str, selector: str = "", metadata_only: bool = False, silence: float = 70.0
    ) -> AsyncIterator[Object]:
        """Events from a version on, bookmarks included; ends when the server ends it.

        KubernetesError with code 410 when the version is too old, 0 after `silence` seconds without a line.
        """
        params = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version, "timeoutSeconds": "300"}
        if selector:
            params["labelSelector"] = selector
        # Without a bookmark in 70 s the stream is dead: the server sends one a minute.
        timeout = aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=silence)
        try:
            async with _opened(self._watching).get(
                self._config.server + path,
                params=params,
                headers={"Accept": METADATA if metadata_only else PLAIN},
                timeout=timeout,
            ) as response:
                if response.status != 200:
                    raise await _refusal(response)
                async for line in _lines(response):
                    event = json.loads(line)
                    if event.get("type") == "ERROR":
                        status = event.get("object", {})
                        raise KubernetesError(KubernetesStatus(status.get("code", 500), status.get("reason", "")))
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise KubernetesError(KubernetesStatus(0, type(error).__name__)) from None

    async def token_request(self, namespace: str, service_account: str, audience: str, seconds: int = 600) -> Sensitive:
        """A token of a ServiceAccount for one audience (TokenRequest), alive for `seconds`."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        body = {"spec": {"audiences": [audience], "expirationSeconds": seconds}}
        return Sensitive((await self._call("POST", path, body=body))["status"]["token"])

    def _before(self, headers: Mapping[str, str]) -> None:
        if headers.get("Content-Type") == APPLY and not self._may_overwrite():
            raise SteppedBackError

    async def _call(self, method: str, path: str, **request: Any) -> Object:
        answer, _ = await self._exchange(method, path, **request)
        return answer

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        params: dict[str, str] | None = None,
        accept: str = PLAIN,
        content_type: str = PLAIN,
    ) -> tuple[Object, Mapping[str, str]]:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            async with _opened(self._session).request(
                method,
                self._config.server + path,
                params=params,
                headers=headers,
                data=json.dumps(body, separators=(",", ":")).encode() if body is not None else None,
                timeout=self._timeout,
            ) as response:
                if response.status >= 400:
                    raise await _refusal(response)
                answer: Object = json.loads(await response.read())
                return answer, response.headers
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise KubernetesError(KubernetesStatus(0, type(error).__name__)) from None


def _opened(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    if session is None:
        raise RuntimeError("Kube is used as an async context manager")
    return session


async def _refusal(response: aiohttp.ClientResponse) -> KubernetesError:
    try:
        reason = json.loads(await response.read()).get("reason", "")
    except (ValueError, AttributeError, aiohttp.ClientError):
        reason = ""
    after = response.headers.get("Retry-After", "")
    return KubernetesError(KubernetesStatus(response.status, reason), float(after) if after.isdigit() else None)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length: a watch event may be larger than the reader's own line limit."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
