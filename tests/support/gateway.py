"""A gateway as the platform team runs it, and a person with a browser that needs no screen."""

import html
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from support.operator import OperatorProcess

COOKIE = "__Host-lanyard-consent"
HOST = "localhost"  # another site than the OAuth server's 127.0.0.1, as in life


class GatewayProcess(OperatorProcess):
    """One gateway whose name is `url`, and which answers at `base`: over TLS unless there is no certificate."""

    def __init__(
        self,
        *,
        kubeconfig: Path,
        log: Path,
        ring: Path,
        signing: Path | None = None,
        certificate: tuple[Path, Path] | None,
        port: int,
        settings: Mapping[str, str] | None = None,
        processes: Any = None,
    ) -> None:
        self.url = f"https://{HOST}:{port}"
        self.base = self.url if certificate is not None else f"http://{HOST}:{port}"
        self.ring = ring
        given = {
            "gateway_url": self.url,
            "gateway_address": "127.0.0.1",
            "gateway_port": str(port),
            "keyring_token": str(ring),
            # A test asks faster than people do.
            "gateway_requests_per_minute": "60000",
            "gateway_browser_requests_per_minute": "60000",
        }
        if certificate is not None:
            given |= {"gateway_tls_certificate": str(certificate[0]), "gateway_tls_key": str(certificate[1])}
        if signing is not None:
            given["keyring_signing"] = str(signing)
        super().__init__(
            kubeconfig=kubeconfig, log=log, settings=given | dict(settings or {}), processes=processes,
            command="gateway",
        )  # fmt: skip


def page_text(answer: httpx.Response) -> str:
    """What a person reads: tags away, one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


@dataclass
class Visitor:
    """A browser without a screen: cookies, no redirect followed unless told."""

    ca: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        context = ssl.create_default_context(cafile=str(self.ca))
        self.client = httpx.Client(verify=context, trust_env=False, timeout=20)

    def close(self) -> None:
        self.client.close()

    def get(self, url: str, **more: Any) -> httpx.Response:
        return self.client.get(url, **more)

    def press(self, page: httpx.Response, label: str, **fields: str) -> httpx.Response:
        """The form whose button says this."""
        for action, body in re.findall(r'<form method="post" action="([^"]+)">(.*?)</form>', page.text, re.DOTALL):
            if label in body:
                hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', body))
                return self.client.post(urljoin(str(page.url), action), data={**hidden, **fields})
        raise AssertionError(f"no button {label!r} on: {page_text(page)}")

    def hash_on(self, page: httpx.Response) -> str:
        found = re.search(r"lanyard\.dev/consent=([0-9a-f]{40})\.", page.text)
        assert found is not None, page_text(page)
        return found[1]

    def at_provider(self, url: str, *, name: str, password: str, agree: bool = True) -> str:
        """Sign in and answer. Returns where the provider sends the browser: our callback."""
        answer = self.client.get(url, follow_redirects=True)
        if "Sign in" in answer.text:
            answer = self._go_on(self.press(answer, "Sign in", name=name, password=password))
        if isinstance(answer, httpx.Response):
            answer = self._go_on(self.press(answer, "Allow" if agree else "Decline"))
        assert isinstance(answer, str), page_text(answer)
        return answer

    def enters(self, code: str, url: str, *, name: str, password: str, agree: bool = True) -> httpx.Response:
        """Type a user code in at the OAuth server, sign in and answer. Returns the page that is shown then."""
        fields = {"xsrf": _xsrf(self.client.get(url)), "user_code": code}
        fields |= {"xsrf": _xsrf(self.client.post(url, data=fields)), "confirm": "yes"}
        answer = self._go_on(self.client.post(url, data=fields))
        for label, more in (("Sign in", {"name": name, "password": password}), ("Allow" if agree else "Decline", {})):
            assert isinstance(answer, httpx.Response), answer
            answer = self._go_on(self.press(answer, label, **more))
        assert isinstance(answer, httpx.Response), answer
        return answer

    def _go_on(self, answer: httpx.Response) -> httpx.Response | str:
        """Along the provider's own redirects; the address as soon as it is not the provider's."""
        here = urlsplit(str(answer.url)).netloc
        while answer.is_redirect:
            url = urljoin(str(answer.url), answer.headers["Location"])
            if urlsplit(url).netloc != here:
                return url
            answer = self.client.get(url)
        return answer


def _xsrf(page: httpx.Response) -> str:
    found = re.search(r'name="xsrf" value="([^"]+)"', page.text)
    assert found is not None, page_text(page)
    return found[1]


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
