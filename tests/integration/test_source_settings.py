"""What an operator of its own is needed for: another way to read Secrets, and a restart in the middle of an outage."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lanyard.reasons import Reason
from localenv.proxy import FaultProxy
from support.cluster import Cluster, status_of
from support.people import eventually
from support.tenant import Tenant


@pytest.fixture
def tenant(cluster: Cluster, environment: Any) -> Iterator[Tenant]:
    tenant = Tenant(cluster, environment)
    yield tenant
    tenant.close()


@pytest.mark.spec("A2")
def test_a_platform_that_trusts_its_namespaces_needs_no_labels(
    tenant: Tenant, operator_process: Callable[..., Any]
) -> None:
    cluster = tenant.cluster
    with operator_process(secret_access="namespace").start():
        tenant.in_secret()
        cluster.secret("app", readable=False, client_secret=tenant.secret)
        tenant.hand_on("plain")
        cluster.wait_ready("plain")
        cluster.secret("app", readable=False, client_secret="second-secret")
        eventually(lambda: cluster.data("plain-token")["token"] == "second-secret", seconds=3)

        tenant.in_vault()
        tenant.service_account("robot", presentable=False)
        tenant.asset(store=tenant.name, serviceAccountName="robot")
        tenant.connect("crm")
        cluster.wait_ready("crm")

        since = tenant.oauth.marker()
        time.sleep(2)
        assert tenant.oauth.requests(since=since, client_id=tenant.name) == [], "its own Secret is no source of it"
        cluster.delete("Secret", "app")
        cluster.wait_reason("plain", Reason.SECRET_NOT_FOUND, condition="CredentialsResolved")


@pytest.mark.spec("A+1", "C+2")
def test_a_store_that_is_back_wakes_what_waits_for_it_before_its_back_off_ends(
    tenant: Tenant, environment: Any, operator_process: Callable[..., Any]
) -> None:
    """The first operator leaves a long back-off behind; the second looks at the store itself, in short steps."""
    cluster = tenant.cluster
    with FaultProxy(environment.processes, environment.pki, f"vault-of-{tenant.name}", tenant.vault.url) as faults:
        tenant.reach_vault_through(faults)
        faults.refuse()
        first = operator_process(retry_first="60s", retry_longest="60s").start()
        tenant.in_vault()
        tenant.connect("crm")
        found = cluster.wait_reason("crm", Reason.STORE_UNAVAILABLE)
        cluster.wait_reason(tenant.name, Reason.STORE_UNAVAILABLE, kind="CredentialStore")
        first.stop()
        due = datetime.fromisoformat(found["status"]["nextRefreshAt"])
        with operator_process().start():
            cluster.wait("Connection", "crm", lambda one: status_of(one, "Ready") == "False")
            assert tenant.oauth.requests(client_id=tenant.name) == []
            faults.pass_through()
            cluster.wait_ready("crm", seconds=8)
        assert (due - datetime.now(UTC)).total_seconds() > 20, "long before it was due"
