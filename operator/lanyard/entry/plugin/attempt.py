"""What an exchange that was tried has shown, and the one next step it leads to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lanyard.entry.plugin.fitting import Field, audiences
from lanyard.entry.plugin.posting import Reply
from lanyard.entry.plugin.times import stamp

GATEWAY_LOG = "kubectl logs -n lanyard-system deploy/lanyard-gateway"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Everything that became known. `compared`: by name of a credential, its fields."""

    connection: str
    namespace: str
    claims: Mapping[str, Any]
    compared: Mapping[str, list[Field]]
    reply: Reply

    def outcome(self) -> str:
        said = self.reply.said
        if self.reply.token:
            life = f", expires in {said['expires_in']} s" if "expires_in" in said else ""
            kind, scope = said.get("token_type", ""), said.get("scope") or "-"
            return f"handed out a token of {self.connection}: {kind}{life}, scope {scope}"
        more = f": {said['error_description']}" if said.get("error_description") else ""
        return f"refused: {self.reply.status} {said.get('error', 'without an error that can be read')}{more}"

    def step(self) -> str:
        """The one thing to do next, after a refusal."""
        nearest = self._nearest()
        if nearest is not None:
            name, field = nearest
            return f"Bring {field} of the FederatedCredential {name} and the token together, byte for byte."
        reply = self.reply
        match reply.said.get("error"):
            case "temporarily_unavailable":
                pause = f" in {reply.retry_after} s" if reply.retry_after else ""
                return f"Try again{pause}; kubectl describe fedcred {next(iter(self.compared))} says what it waits for."
            case "unauthorized_client":
                return f"Set spec.suspend of the Connection {self.connection} to false."
            case "invalid_scope":
                return f"See what it was granted: kubectl lanyard status {self.connection}"
            case _ if reply.request_id:
                return f"Look for {reply.request_id} in the gateway's log: {GATEWAY_LOG}"
            case _:
                return "Check whether --gateway-url is Lanyard's: kubectl lanyard check"

    def document(self) -> Mapping[str, Any]:
        """For scripts; without the token."""
        claims = self.claims
        return {
            "namespace": self.namespace,
            "connection": self.connection,
            "token": {
                "iss": claims.get("iss"),
                "sub": claims.get("sub"),
                "aud": audiences(claims),
                "exp": end_of(claims),
            },
            "credentials": [
                {"name": name, "fits": not _differing(compared), "differs": _differing(compared)}
                for name, compared in self.compared.items()
            ],
            "handedOut": bool(self.reply.token),
            "answer": {"status": self.reply.status, "requestId": self.reply.request_id, **self.reply.said},
        }

    def _nearest(self) -> tuple[str, str] | None:
        """The credential that differs least, and its first field that does; None when one fits."""
        differing = {name: _differing(compared) for name, compared in self.compared.items()}
        name = min(differing, key=lambda one: len(differing[one]))
        return (name, differing[name][0]) if differing[name] else None


def end_of(claims: Mapping[str, Any]) -> str:
    """`exp` as RFC 3339."""
    end = claims.get("exp")
    return stamp(datetime.fromtimestamp(end, UTC)) if isinstance(end, int) else "-"


def _differing(compared: list[Field]) -> list[str]:
    return [field.name for field in compared if not field.fits]
