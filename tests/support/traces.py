"""Everything that an operator leaves behind, and whether a secret is in it, in any of the forms it may take."""

import base64
from pathlib import Path
from typing import Any

import httpx

FILES_OF_ITS_OWN = ("operator.log",)


def forms(secret: str) -> frozenset[str]:
    """Plain, hexadecimal, and base64 wherever it lies in what was encoded (`Basic` has a name before it)."""
    raw = secret.encode()
    found = {secret, raw.hex()}
    for offset, skip in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(bytes(offset) + raw).decode()
        whole = (offset + len(raw)) * 8 // 6
        found |= {text[skip:whole], text[skip:whole].replace("+", "-").replace("/", "_")}
    return frozenset(found)


def stored_objects(etcd_url: str) -> dict[str, str]:
    """Every object of the API server as it lies in etcd, by its key there."""
    everything = base64.b64encode(b"\0").decode()
    answer = httpx.post(
        f"{etcd_url}/v3/kv/range", json={"key": everything, "range_end": everything}, trust_env=False, timeout=30
    )
    return {_text(pair["key"]): _text(pair.get("value", "")) for pair in answer.raise_for_status().json()["kvs"]}


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")


def written_files(pid: int) -> list[str]:
    """Files that a process has open and that are not its log: what it could keep on disk."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = link.resolve(strict=True)
        except OSError:
            continue  # a socket, a pipe, or closed meanwhile
        if target.is_file() and target.name not in FILES_OF_ITS_OWN:
            found.append(str(target))
    return found


def pages(operator: Any) -> dict[str, str]:
    """What it shows to whoever asks."""
    return {
        path: httpx.get(f"{operator.address}{path}", timeout=30).text for path in ("/metrics", "/healthz", "/readyz")
    }
