"""`lanyard keys` as it is typed, and the rings that processes are given."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lanyard.stores.ring_format import RingKey, ring_text
from lanyard.stores.signing import fresh_scalar


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    status: int
    out: str
    err: str


@dataclass
class KeysCommand:
    """`lanyard keys` of one install, with somebody's rights."""

    kubeconfig: Path
    system: str
    exchange: str
    activation: str = "10m"

    def __call__(self, *arguments: str) -> Said:
        return run_keys(
            *arguments,
            LANYARD_KUBECONFIG=str(self.kubeconfig),
            LANYARD_SYSTEM_NAMESPACE=self.system,
            LANYARD_EXCHANGE_NAMESPACE=self.exchange,
            LANYARD_KEY_ACTIVATION=self.activation,
        )


def run_keys(*arguments: str, **environment: str) -> Said:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LANYARD_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "lanyard", "keys", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def write_rings(folder: Path) -> Mapping[str, str]:
    """All rings as files, as a pod would have them mounted; the settings that name them."""
    active = datetime.now(UTC) - timedelta(days=1)
    paths = {}
    for ring in ("grant", "token", "signing"):
        paths[f"keyring_{ring}"] = path = folder / f"{ring}.json"
        path.touch(mode=0o600)
        path.write_text(ring_text((RingKey("test", fresh_scalar() if ring == "signing" else os.urandom(32), active),)))
    return {name: str(path) for name, path in paths.items()}
