"""FederatedCredentials at a real API server: what their conditions say, who wins, and how their last use is told."""

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.cluster import (
    Cluster,
    Object,
    assert_conditions_coherent,
    checked,
    conditions,
    is_current,
    message_of,
    reason_of,
    status_of,
)
from support.effects import Writes
from support.jwts import key_pair
from support.people import eventually

KIND = "FederatedCredential"
SHARED = "/api/v1/namespaces/lanyard-exchange/secrets"
ISSUER = "https://issuer.example"
QUIET_SECONDS = 3.0

pytestmark = pytest.mark.spec("K2")


def moment(after: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")
