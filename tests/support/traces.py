"""Everything that an operator leaves behind, and whether a secret is in it, in any of the forms it may take."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx

FILES_OF_ITS_OWN = ("operator.log",)
_EVERYTHING = base64.b64encode(b"\0").decode()
_KEY = base64.b64encode(b"/").decode()


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
    answer = httpx.post(
        f"{etcd_url}/v3/kv/range", json={"key": _EVERYTHING, "range_end": _EVERYTHING}, trust_env=False, timeout=30
    )
    return {_text(pair["key"]): _text(pair.get("value", "")) for pair in answer.raise_for_status().json()["kvs"]}


def revision(etcd_url: str) -> int:
    """The number of the last write to etcd."""
    answer = httpx.post(f"{etcd_url}/v3/kv/range", json={"key": _KEY}, trust_env=False, timeout=30)
    return int(answer.raise_for_status().json()["header"]["revision"])


def every_version(etcd_url: str, since: int) -> list[tuple[str, str]]:
    """Each object as often as it was written after a revision, by its key: also what lay there for a moment only.

    etcd keeps five minutes here.
    """
    until, found = revision(etcd_url), []
    wanted = {"create_request": {"key": _EVERYTHING, "range_end": _EVERYTHING, "start_revision": str(since + 1)}}
    with httpx.stream("POST", f"{etcd_url}/v3/watch", json=wanted, trust_env=False, timeout=30) as answer:
        for line in answer.iter_lines():
            for event in json.loads(line)["result"].get("events", ()):
                found.append((_text(event["kv"]["key"]), _text(event["kv"].get("value", ""))))
                if int(event["kv"]["mod_revision"]) >= until:
                    return found
    raise AssertionError("etcd did not tell every version")


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


def of_process(pid: int, part: str) -> str:
    """`environ` or `cmdline`."""
    with open(f"/proc/{pid}/{part}", "rb") as content:  # noqa: PTH123 - /proc has no size
        return content.read().decode(errors="replace")


def pages(operator: Any) -> dict[str, str]:
    """What it shows to whoever asks."""
    return {
        path: httpx.get(f"{operator.address}{path}", timeout=30).text for path in ("/metrics", "/healthz", "/readyz")
    }
