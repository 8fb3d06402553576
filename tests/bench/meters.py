"""Counting from outside: CPU and memory from the kernel, writes from the API server's audit log."""

import math
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
ACCOUNT = "system:serviceaccount:lanyard-system:lanyard-operator"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
APART = frozenset(
    {"leases", "serviceaccounts/token", "tokenreviews", "subjectaccessreviews", "selfsubjectaccessreviews"}
)


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds used so far, by part; `others` is what the machine did for nobody here."""

    at: float
    parts: Mapping[str, float]
    busy: float

    def since(self, before: "Cpu") -> dict[str, float]:
        """By part; a process that ended in between is left out."""
        used = {name: seconds - before.parts.get(name, 0.0) for name, seconds in self.parts.items()}
        used["others"] = max(self.busy - before.busy - sum(used.values()), 0.0)
        return {name: round(seconds, 2) for name, seconds in used.items()}


def cpu(run_dir: Path) -> Cpu:
    """Of every process of the environment, and of the bench itself."""
    parts = {"bench": cpu_of(os.getpid())}
    for path in run_dir.glob("*.pid"):
        try:
            name, pid = path.stem, int(path.read_text().split()[0])
            parts["operator" if name.startswith("operator-") else name] = cpu_of(pid)
        except (OSError, ValueError, IndexError):
            continue  # ended at this moment
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    # user, nice, system, irq, softirq: all but idle, waiting for disks, and what the hypervisor took.
    busy = sum(int(fields[number]) for number in (0, 1, 2, 5, 6)) / TICKS
    return Cpu(time.time(), parts, busy)


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass(frozen=True, slots=True)
class Write:
    """One write and when it was answered; `name` is empty where the API server made the name."""

    at: float
    what: str
    name: str


@dataclass(frozen=True, slots=True)
class Calls:
    """What the operator asked of the API server, by `verb resource`; `failed` are writes that were refused."""

    writes: Counter[str]
    apart: Counter[str]
    reads: Counter[str]
    failed: int
    connection_lists: int
    """Full lists of Connections that were begun."""
    last_status_at: float | None
    """Epoch seconds of the answer to the last status write of a Connection."""
    written: list["Write"]

    @property
    def total(self) -> int:
        return sum(self.writes.values())


def calls(kubernetes: Any, since: int) -> Calls:
    """From a point in the audit log to its end."""
    writes: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    written: list[Write] = []
    failed, lists = 0, 0
    for event in kubernetes.audit_events(since):
        if event["user"]["username"] != ACCOUNT:
            continue
        verb, what = event["verb"], _resource(event)
        name = f"{verb} {what}"
        if what in APART:
            apart[name] += 1
        elif verb in WRITES:
            writes[name] += 1
            failed += event["responseStatus"]["code"] >= 400
            at = datetime.fromisoformat(event["stageTimestamp"]).timestamp()
            written.append(Write(at, name, event["objectRef"].get("name", "")))
        else:
            reads[name] += 1
            lists += name == "list connections" and "continue=" not in event["requestURI"]
    last = max((one.at for one in written if one.what.endswith("connections/status")), default=None)
    return Calls(writes, apart, reads, failed, lists, last, written)


def _resource(event: Mapping[str, Any]) -> str:
    reference = event.get("objectRef") or {}
    parts = (reference.get("resource", "none"), reference.get("subresource"))
    return "/".join(part for part in parts if part)


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * share) - 1, 0)]


def settle(run_dir: Path, pid: int, *, quiet: float, longest: float) -> tuple[float, Cpu]:
    """Wait until a process has used under 5 % of a core for `quiet` seconds.

    Returns when that began (epoch seconds) and the CPU at that moment: nothing is asked of the process meanwhile.
    """
    deadline = time.monotonic() + longest
    since = cpu(run_dir)
    base = cpu_of(pid)
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if cpu_of(pid) - base > 0.05 * max(time.time() - since.at, 0.4):
            since, base = cpu(run_dir), cpu_of(pid)
        elif time.time() - since.at >= quiet:
            return since.at, since
    raise TimeoutError(f"the operator was not quiet within {longest:.0f} s")
