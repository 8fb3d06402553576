"""The demo, step by step: a Connection becomes a live token, is refreshed, survives a rotated client secret, and is
used by a workload that holds no secret at all.
"""

import base64
import hashlib
import json
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from demo.place import CLIENT, TEAM, Place, overlay, rotate_secret
from demo.show import DemoError, Kubectl, Show

NAME, SECRET, WORKLOAD = "crm", "crm-token", "report"
WAIT = "60s"
REPORT = """\
apiVersion: v1
kind: ServiceAccount
metadata: {{name: report, namespace: sales}}
---
apiVersion: lanyard.dev/v1alpha1
kind: FederatedCredential
metadata: {{name: report, namespace: sales}}
spec:
  connectionRef: {{name: crm}}
  issuer: {issuer}
  audience: {audience}
  subject: system:serviceaccount:sales:report
"""


@dataclass(frozen=True, slots=True)
class Published:
    """The token in the Secret. `mark` tells tokens apart without showing one."""

    token: str
    expires_at: datetime

    @property
    def mark(self) -> str:
        return hashlib.sha256(self.token.encode()).hexdigest()[:8]

    @property
    def left(self) -> float:
        return (self.expires_at - datetime.now(UTC)).total_seconds()


class Steps:
    def __init__(self, show: Show, place: Place, kubectl: Kubectl, *, life: int) -> None:
        self._show = show
        self._place = place
        self._kubectl = kubectl
        self._life = life

    def run(self) -> None:
        self.connect()
        first = self.use()
        second = self.see_it_refreshed(first)
        self.rotate(second)
        self.exchange()

    def connect(self) -> None:
        """The quickstart, and a wait that any pipeline could make."""
        folder = overlay(self._place.environment)
        self._show.step(
            "a team applies examples/quickstart (an overlay sets the local addresses of Vault and provider)"
        )
        self._kubectl("apply", "-k", str(folder))
        self._kubectl("-n", TEAM, "wait", "--for=condition=Ready", f"connection/{NAME}", f"--timeout={WAIT}")
        self._kubectl("-n", TEAM, "get", "connections")
        self._show.step("the Secret that pods mount: its keys, never its values")
        self._kubectl("-n", TEAM, "describe", "secret", SECRET)

    def use(self) -> Published:
        self._show.step("use the token at a protected resource of the provider")
        token = self.published()
        answer = self._place.environment.oauth.me(token.token)
        self._show.detail(f"GET {self._place.environment.oauth.me_url} with the token of {SECRET}")
        self._show.detail(f"{answer.status_code} {answer.text}")
        if answer.status_code != 200:
            raise DemoError("the provider did not take the token", "expires_at in the Secret, and the machine's clock")
        return token

    def see_it_refreshed(self, old: Published) -> Published:
        self._show.step(f"the token lives {self._life} s; Lanyard replaces it before it expires")
        new = self.next_token(old)
        left, alive = old.left, self.is_alive(old)
        self._show.detail(f"token {new.mark} is published: {new.left:.0f} s left")
        self._show.detail(f"token {old.mark} had {left:.0f} s left and is {'still alive' if alive else 'dead'}")
        if not alive or not self.is_alive(new):
            raise DemoError(
                "old and new token are not both alive", "status.nextRefreshAt, and the operator's log below"
            )
        self._show.step("the old token was still alive when the new one was there")
        return new

    def rotate(self, token: Published) -> None:
        """No new consent, no restart, no edit of the Connection: the next refresh finds the new secret."""
        oauth = self._place.environment.oauth
        self._show.step("rotate the client secret in Vault, revoke the old one at the provider")
        version = rotate_secret(self._place.environment)
        since = oauth.marker()
        self._show.detail(f"Vault: kv/apps/crm is now version {version}; the provider takes the old secret no more")
        # A refresh that was on its way with the old secret may still have come through.
        new, served = self.next_token(token), self.is_alive(token)
        seen = oauth.requests(since=since, client_id=CLIENT)
        if not any(one.status == 200 for one in seen):
            token, new = new, self.next_token(new)
            served = self.is_alive(token)
            seen = oauth.requests(since=since, client_id=CLIENT)
        for one in seen:
            said = (
                "the secret Lanyard still had in memory" if one.status == 401 else "the one it read afresh from Vault"
            )
            self._show.detail(f"POST /token: {one.status} {one.error or 'token issued'}   ({said})")
        if not served or not self.is_alive(new):
            raise DemoError("the rotation left a gap without a live token", "the operator's log below")
        self._show.step(f"token {new.mark} was fetched with the new secret; the old token served until then")
        self._kubectl("-n", TEAM, "get", "connections")

    def exchange(self) -> None:
        """A pod would find its JWT in a file that kubelet writes; here the same API gives it."""
        self._show.step("a workload that holds no secret: its ServiceAccount may use the Connection")
        issuer = self._get("/.well-known/openid-configuration")["issuer"]
        manifest = self._place.environment.run_dir / "report.yaml"
        manifest.write_text(REPORT.format(issuer=issuer, audience=self._place.gateway.url))
        self._kubectl("apply", "-f", str(manifest))
        self._kubectl("-n", TEAM, "wait", "--for=condition=Ready", f"fedcred/{WORKLOAD}", f"--timeout={WAIT}")
        self._show.step("it presents the JWT that it has anyway, and reads the product with what it gets")
        jwt = self._kubectl.quiet("-n", TEAM, "create", "token", WORKLOAD, "--audience", self._place.gateway.url)
        token = self._show.until(
            lambda: self._exchanged(jwt.strip()), lambda: "the gateway has not heard of it yet", seconds=20.0
        )
        if token is None:
            raise DemoError("the gateway did not take the JWT", "why, in the audit lines of gateway.log")
        answer = self._place.environment.oauth.me(token)
        self._show.detail(
            f"GET {self._place.environment.oauth.me_url} with that token\n{answer.status_code} {answer.text}"
        )
        if answer.status_code != 200:
            raise DemoError("the product did not take the token", "the gateway's log")
        self._kubectl("-n", TEAM, "get", "fedcred")

    def _exchanged(self, jwt: str) -> str | None:
        """The token that the gateway hands out for a JWT (RFC 8693); None while it does not."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": jwt,
        }
        gateway, ca = self._place.gateway, str(self._place.environment.pki.ca_path)
        answer = httpx.post(f"{gateway.url}/oauth/token", data=form, verify=ssl.create_default_context(cafile=ca))
        if answer.is_error:
            return None
        told = answer.json()
        self._show.detail(f"POST {gateway.url}/oauth/token: {answer.status_code}, scope {told['scope']!r}")
        return str(told["access_token"])

    def next_token(self, old: Published) -> Published:
        def changed() -> Published | None:
            if not self._place.operator.running:
                raise DemoError("the operator has ended", "its log below")
            now = self.published()
            return now if now.token != old.token else None

        def say() -> str:
            planned = self.status().get("nextRefreshAt", "")
            wait = (datetime.fromisoformat(planned) - datetime.now(UTC)).total_seconds() if planned else 0.0
            return f"token {old.mark}: {old.left:4.0f} s left, refresh in {max(wait, 0.0):4.0f} s"

        found = self._show.until(changed, say, seconds=2.0 * self._life + 20)
        if found is None:
            raise DemoError(f"no new token within {2 * self._life + 20} s", "TokenFresh in the conditions below")
        return found

    def is_alive(self, token: Published) -> bool:
        return self._place.environment.oauth.me(token.token).status_code == 200

    def published(self) -> Published:
        """Straight from the API: kubectl would be too slow to show that two tokens are alive at once."""
        data = self._get(f"/api/v1/namespaces/{TEAM}/secrets/{SECRET}").get("data", {})
        values = {name: base64.b64decode(data.get(name, "")).decode() for name in ("access_token", "expires_at")}
        if not all(values.values()):
            raise DemoError(f"the Secret {SECRET} lacks the token or its expiry", f"kubectl describe secret {SECRET}")
        return Published(values["access_token"], datetime.fromisoformat(values["expires_at"]))

    def status(self) -> dict[str, str]:
        path = f"/apis/lanyard.dev/v1alpha1/namespaces/{TEAM}/connections/{NAME}"
        found: dict[str, str] = self._get(path).get("status", {})
        return found

    def _get(self, path: str) -> dict[str, dict[str, str]]:
        with self._place.environment.kubernetes.client() as client:
            answer = client.get(path)
        if answer.is_error:
            raise DemoError(f"{path.rpartition('/')[2]}: {answer.json()['message']}", "the operator's log below")
        found: dict[str, dict[str, str]] = json.loads(answer.text)
        return found


def evidence(place: Place, kubectl: Kubectl) -> str:
    """What to look at after a failure, gathered before it goes away."""
    parts = []
    for arguments in (
        ("-n", TEAM, "get", "connections,credentialassetrefs,federatedcredentials", "-o", "wide"),
        ("get", "credentialstores", "-o", "wide"),
    ):
        try:
            parts.append(kubectl.quiet(*arguments))
        except DemoError as error:
            parts.append(str(error))
    for process, whose in ((place.operator, "operator"), (place.gateway, "gateway")):
        parts.append(f"the end of the {whose}'s log:")
        parts += process.log.read_text(errors="replace").splitlines()[-15:]
    return "\n".join(parts)
