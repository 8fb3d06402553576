"""The way to the API server for a command that a person runs: their own kubectl, with every login it knows.

`kubectl proxy` listens on a Unix socket in a folder that nobody else may enter; a port of the loopback interface would
lend the person's rights to everyone on the machine.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from lanyard.clients.kubeconfig import KubeConfig

START_SECONDS = 60.0
_LOOK_SECONDS = 0.05


class KubectlProxyError(Exception):
    """kubectl is not there, or ended by itself; it has told why on standard error."""


@asynccontextmanager
async def through_kubectl(context: str | None = None) -> AsyncIterator[KubeConfig]:
    """KubectlProxyError when kubectl does not start. `context` is one of the kubeconfig's, None for its current one."""
    with tempfile.TemporaryDirectory(prefix="lanyard-") as folder:  # mode 0700
        socket = Path(folder) / "kubectl.sock"
        chosen = () if context is None else ("--context", context)
        try:
            process = await asyncio.create_subprocess_exec(
                "kubectl", *chosen, "proxy", f"--unix-socket={socket}", stdout=asyncio.subprocess.DEVNULL
            )
        except OSError:
            raise KubectlProxyError("kubectl cannot be run: is it installed and on PATH?") from None
        try:
            await _listening(process, socket)
            yield KubeConfig(server="http://localhost", socket=str(socket))
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _listening(process: asyncio.subprocess.Process, socket: Path) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while not os.path.exists(socket):  # noqa: ASYNC240, PTH110 - one look into a folder of our own
                if process.returncode is not None:
                    raise KubectlProxyError("kubectl proxy ended by itself")
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise KubectlProxyError(f"kubectl proxy did not start within {START_SECONDS:.0f} seconds") from None
