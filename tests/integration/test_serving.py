"""Servers of the environment end with whoever started them, and say why they did not start."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localenv.serving import TESTS, Service

STARTS = """
import sys, time
from pathlib import Path
from localenv.oauth_server import OAuthServer
from localenv.proxy import FaultProxy
from support.certificates import PkiOfTests
folder = Path(sys.argv[2])
pki = PkiOfTests(folder)
if sys.argv[1] == "oauth":
    server = OAuthServer(run_dir=folder, pki=pki).start()
    url = server.issuer
else:
    server = FaultProxy("proxy", "http://127.0.0.1:1", run_dir=folder, pki=pki).start()
    url = server.url
print(url.rpartition(":")[2], flush=True)
time.sleep(60)
"""


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("server", ["oauth", "proxy"])
def test_a_server_ends_with_a_parent_that_was_killed(server: str, tmp_path: Path) -> None:
    search = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", STARTS, server, str(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": search}, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert listens(port)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while listens(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not listens(port)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    service = Service("broken", run_dir=tmp_path)
    with pytest.raises(RuntimeError, match="--upstream"):
        service.start_module("localenv.proxy", {})
    assert service.pid is None
