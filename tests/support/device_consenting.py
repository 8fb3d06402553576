"""A team whose Connection waits for a consent by device code."""

import html
import re
from typing import Any

import httpx

from support.consenting import PASSWORD, Team
from support.gateway import Visitor, page_text

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
ARCHIVE = "archive"


class DeviceTeam:
    """Uses the namespace, the app and the people of `team`. Its provider is the OAuth server unless told otherwise;
    a member of `method` that is None is left out.
    """

    def __init__(self, team: Team, *, device_url: str = "", token_url: str = "", **method: Any) -> None:
        self.team = team
        self.connector = f"{team.name}-device"
        team.oauth.change_client(team.name, grant_types=["authorization_code", "refresh_token", DEVICE_GRANT])
        described = {
            "name": "deviceCode",
            "clientAuth": {"methods": ["client_secret_basic"]},
            "device": {"url": device_url or team.oauth.device_url},
            "tokenRequest": {"url": token_url or team.oauth.token_url},
            "scopes": {"default": ["api"]},
            "identity": {"request": {"url": team.oauth.me_url}, "account": ["/sub"]},
            "revocation": [{"url": team.oauth.revocation_url}],
            "rotation": {"mode": "rotates"},
            **method,
        }
        known = {name: member for name, member in described.items() if member is not None}
        team.cluster.apply("Connector", self.connector, {"displayName": "Acme Archive", "methods": [known]})
        team.connect(ARCHIVE, connector=self.connector, auth={"method": "deviceCode"})
        team.cluster.wait_reason(ARCHIVE, "AuthorizationRequired")

    def close(self) -> None:
        self.team.cluster.client.delete(self.team.cluster.path("Connector", self.connector))

    @property
    def url(self) -> str:
        return self.team.page_url(ARCHIVE)

    def begun(self, visitor: Visitor) -> httpx.Response:
        """The page after the button."""
        page = self.team.approved(visitor, ARCHIVE, button="Get a code")
        answer = visitor.press(page, "Get a code")
        assert (answer.status_code, answer.headers["Location"]) == (303, self.url), answer.text
        return visitor.get(self.url)

    def shown(self, visitor: Visitor) -> tuple[str, str]:
        """The user code and the provider's page, once the operator has fetched them."""
        self.begun(visitor)
        page = self.team.until(lambda: visitor.get(self.url), lambda seen: "Enter your code" in seen.text)
        code = re.search(r'aria-label="Your code">([^<]+)</pre>', page.text)
        link = re.search(r'<a href="(https://[^"]+)"', page.text)
        assert code is not None, page_text(page)
        assert link is not None, page_text(page)
        return html.unescape(code[1]), html.unescape(link[1])

    def answer(self, code: str, link: str, *, agree: bool = True) -> httpx.Response:
        """The person at the provider, in a browser of its own."""
        person = self.team.visitor()
        return person.enters(code, link, name=self.team.person, password=PASSWORD, agree=agree)

    def ended(self, visitor: Visitor, text: str) -> httpx.Response:
        """The page once it says this."""
        page: httpx.Response = self.team.until(lambda: visitor.get(self.url), lambda seen: text in seen.text, 40)
        return page

    def polls(self) -> list[Any]:
        """What the OAuth server was asked for with a device code."""
        found: list[Any] = self.team.oauth.requests(client_id=self.team.name, grant_type=DEVICE_GRANT)
        return found
