"""Rings as Secrets of a real API server: made once, rotated, retired when nothing needs a key, never made anew."""

import base64
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.flows.keyrings import RETIRE_AFTER
from lanyard.flows.reseal import reencrypt
from lanyard.oauth.minting import LONGEST_LIFE
from lanyard.rules.consent import Consent
from lanyard.stores.consents import ConsentStore
from lanyard.stores.grants import GrantStore, secret_name
from lanyard.stores.keyring import Keyring, key_id_of
from lanyard.stores.ring_format import RingKey, parse_keys, ring_text
from lanyard.stores.signing import SigningRing
from support.cluster import Cluster, checked
from support.install import rendered
from support.keys import KeysCommand, run_keys
from support.stored import grant

OWNER = "sales/crm"
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Install:
    """Two namespaces, and `lanyard keys` with the rights of the chart's Job and of an administrator."""

    system: Cluster
    exchange: Cluster
    kubernetes: Any
    job: KeysCommand
    admin: KeysCommand

    def ring(self, name: str) -> tuple[RingKey, ...]:
        return parse_keys(self.system.data(f"lanyard-keyring-{name}")["keys.json"])

    def put_ring(self, name: str, *keys: RingKey) -> None:
        """As somebody does who restores a backup."""
        self.system.secret(f"lanyard-keyring-{name}", readable=False, **{"keys.json": ring_text(keys)})

    def age(self, name: str, by: timedelta) -> None:
        """Time passes: every key has been active for that much longer."""
        keys = (RingKey(one.id, one.material, one.active_from - by) for one in self.ring(name))
        self.put_ring(name, *keys)

    def grants(self, kube: Kube, install: str = "install-1") -> GrantStore:
        return GrantStore(kube, self.system.namespace, lambda: Keyring(self.ring("grant")), install)

    def sealed_by(self, uid: str) -> str:
        return key_id_of(self.system.data(secret_name(uid))["grant"])


@pytest.fixture
def install(kubernetes: Any, tmp_path: Path) -> Iterator[Install]:
    made = f"k-{uuid.uuid4().hex[:8]}"
    system, exchange = f"{made}-system", f"{made}-exchange"
    wanted = {"Namespace", "ServiceAccount", "Role", "RoleBinding"}
    manifests = [
        one
        for one in rendered({"exchange": {"namespace": exchange}}, namespace=system)
        if one["kind"] in wanted and one["metadata"]["name"] in {"lanyard-keys", exchange}
    ]
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": system}})
    kubernetes.apply(*manifests)
    job = kubernetes.service_account_kubeconfig(system, "lanyard-keys")
    admin = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator")
    with kubernetes.client() as client:
        yield Install(
            Cluster(client, system),
            Cluster(client, exchange),
            kubernetes,
            KeysCommand(job, system, exchange),
            KeysCommand(admin, system, exchange),
        )
        for namespace in (system, exchange):
            client.delete(f"/api/v1/namespaces/{namespace}")


class TestInit:
    def test_the_chart_s_job_makes_the_rings_once(self, install: Install) -> None:
        said = install.job("init")
        assert (said.status, said.err) == (0, "")
        assert said.out == "ring grant: made\nring token: made\nring signing: made\n"
        before = {name: install.ring(name) for name in ("grant", "token", "signing")}
        assert before["grant"][0].material != before["token"][0].material
        for keys in before.values():
            Keyring(keys).sealing_key(now() - timedelta(minutes=5))  # also by a clock that is behind
        again = install.job("init")
        assert again.out == "".join(f"ring {name}: there already, left as it is\n" for name in before)
        SigningRing(Keyring(before["signing"]))
        assert {name: install.ring(name) for name in before} == before

    @pytest.mark.spec("C8")
    def test_what_it_says_holds_no_key(self, install: Install) -> None:
        said = [
            install.job("init"),
            install.admin("rotate"),
            install.admin("status"),
            install.admin("rotate", "--retire"),
        ]
        told = "".join(one.out + one.err for one in said)
        assert all(one.status == 0 for one in said), told
        for name in ("grant", "token", "signing"):
            for key in install.ring(name):
                assert key.id in told
                for form in (base64.b64encode(key.material).decode(), key.material.hex(), repr(key.material)):
                    assert form not in told

    async def test_a_lost_ring_is_told_and_no_new_one_is_made_in_its_place(
        self, install: Install, operator_kubeconfig: Path
    ) -> None:
        install.job("init")
        uid = str(uuid.uuid4())
        async with Kube(from_file(operator_kubeconfig)) as kube:
            await install.grants(kube).create(uid, OWNER, grant(), now=now())
        lost = install.ring("grant")
        install.system.delete("Secret", "lanyard-keyring-grant")
        install.system.delete("Secret", "lanyard-keyring-token")
        said = install.job("init")
        assert said.status == 1
        assert "KeyringLost" in said.err
        assert lost[0].id in said.err
        assert "lanyard-keyring-grant" in said.err
        assert not install.system.exists("Secret", "lanyard-keyring-grant")
        assert not install.system.exists("Secret", "lanyard-keyring-token"), "nothing at all is made"
        install.put_ring("grant", *lost)
        left = "there already, left as it is"
        assert install.job("init").out == f"ring grant: {left}\nring token: made\nring signing: {left}\n"

    async def test_a_ring_without_a_key_that_is_needed_is_told(
        self, install: Install, operator_kubeconfig: Path
    ) -> None:
        install.job("init")
        async with Kube(from_file(operator_kubeconfig)) as kube:
            await install.grants(kube).create(str(uuid.uuid4()), OWNER, grant(), now=now())
        install.put_ring("grant", RingKey("another", b"a" * 32, now() - DAY))
        said = install.job("init")
        assert (said.status, "KeyringLost" in said.err) == (1, True)
        assert [one.id for one in install.ring("grant")] == ["another"]

    async def test_a_consent_under_way_needs_its_ring_too(self, install: Install, operator_kubeconfig: Path) -> None:
        install.job("init")
        async with Kube(from_file(operator_kubeconfig)) as kube:
            store = ConsentStore(kube, install.exchange.namespace, lambda: Keyring(install.ring("token")))
            await store.create("hash", uid="uid", owner=OWNER, consent=consent(), expires_at=now() + DAY, now=now())
        install.system.delete("Secret", "lanyard-keyring-token")
        said = install.job("init")
        assert (said.status, "lanyard-keyring-token" in said.err) == (1, True)
        assert not install.system.exists("Secret", "lanyard-keyring-token")

    @pytest.mark.parametrize("data", [{"keys.json": "{}"}, {"other": "x"}])
    def test_a_secret_that_holds_no_ring_is_left_as_it_is(self, install: Install, data: dict[str, str]) -> None:
        install.system.secret("lanyard-keyring-grant", readable=False, **data)
        said = install.job("init")
        assert said.status == 1
        assert "holds no usable ring" in said.err
        assert install.system.data("lanyard-keyring-grant") == data

    def test_the_job_can_neither_change_nor_delete_a_ring(self, install: Install) -> None:
        install.job("init")
        before = install.ring("grant")
        said = install.job("rotate", "--ring", "grant")
        assert (said.status, "does not let you" in said.err) == (1, True)
        assert install.ring("grant") == before


class TestRotation:
    def test_a_new_key_is_to_come_and_the_old_ones_stay(self, install: Install) -> None:
        install.job("init")
        [old] = install.ring("grant")
        said = install.admin("rotate", "--ring", "grant")
        assert said.status == 0
        new, kept = install.ring("grant")
        assert kept == old
        assert new.id in said.out
        ahead = new.active_from - now()
        assert timedelta(minutes=9) < ahead <= timedelta(minutes=10)
        assert len(install.ring("token")) == 1, "the other ring is as it was"
        again = install.admin("rotate", "--ring", "grant")
        assert (again.status, "not active yet" in again.err) == (1, True)

    def test_what_is_refused_for_one_ring_is_done_for_the_other(self, install: Install) -> None:
        install.job("init")
        install.admin("rotate", "--ring", "grant")
        said = install.admin("rotate")
        assert said.status == 1
        assert len(install.ring("grant")) == 2
        assert len(install.ring("token")) == 2

    def test_a_ring_that_is_not_there_cannot_be_rotated(self, install: Install) -> None:
        said = install.admin("rotate")
        assert said.status == 1
        assert said.err.count("There is no ring") == 3

    async def test_a_key_is_retired_when_nothing_needs_it_and_not_before(
        self, install: Install, operator_kubeconfig: Path
    ) -> None:
        install.job("init")
        uids = [str(uuid.uuid4()) for _ in range(3)]
        async with Kube(from_file(operator_kubeconfig)) as kube:
            store = install.grants(kube)
            for uid in uids:
                await store.create(uid, OWNER, grant(), now=now())
            [old] = install.ring("grant")
            install.admin("rotate", "--ring", "grant")
            assert install.admin("rotate", "--retire", "--ring", "grant").out == "ring grant: nothing to retire\n"
            install.age("grant", timedelta(minutes=20))
            assert install.admin("rotate", "--retire", "--ring", "grant").out == "ring grant: nothing to retire\n", (
                "a browser may hold something that was sealed minutes ago"
            )
            install.age("grant", RETIRE_AFTER)
            said = install.admin("rotate", "--retire", "--ring", "grant")
            assert said.out == f"ring grant: key {old.id} stays, Secrets sealed with it: 3\n"
            assert len(install.ring("grant")) == 2
            ring = Keyring(install.ring("grant"))
            swept = await reencrypt(store, lambda: ring, clock=now, pause=0)
            assert (swept.references, swept.resealed, swept.left) == ({old.id: 3}, 3, 0)
            said = install.admin("rotate", "--retire", "--ring", "grant")
            assert said.out == f"ring grant: key {old.id} retired\n"
            [left] = install.ring("grant")
            assert left.id == ring.keys[0].id
            for uid in uids:
                assert install.sealed_by(uid) == left.id
                assert await store.read(uid, OWNER) is not None

    def test_a_signing_key_stays_until_no_token_of_it_can_be_alive(self, install: Install) -> None:
        install.job("init")
        [old] = install.ring("signing")
        said = install.admin("rotate", "--ring", "signing")
        [new, _] = install.ring("signing")
        assert new.id in said.out
        assert timedelta(minutes=44) < new.active_from - now() <= timedelta(minutes=45), "twice what verifiers cache"
        install.age("signing", timedelta(minutes=45) + LONGEST_LIFE)
        assert install.admin("rotate", "--retire", "--ring", "signing").out == "ring signing: nothing to retire\n"
        states = [line.split()[-2:] for line in install.admin("status", "--ring", "signing").out.splitlines()[1:]]
        assert states == [["signs", "0"], ["verifies", "0"]]
        install.age("signing", RETIRE_AFTER)
        said = install.admin("rotate", "--retire", "--ring", "signing")
        assert said.out == f"ring signing: key {old.id} retired\n"
        assert [one.id for one in install.ring("signing")] == [new.id]

    async def test_grants_of_another_install_keep_the_keys_they_need(
        self, install: Install, operator_kubeconfig: Path
    ) -> None:
        """They may be adopted yet."""
        install.job("init")
        uid = str(uuid.uuid4())
        async with Kube(from_file(operator_kubeconfig)) as kube:
            await install.grants(kube, "another").create(uid, OWNER, grant(), now=now())
            [old] = install.ring("grant")
            install.admin("rotate", "--ring", "grant")
            install.age("grant", DAY)
            ring = Keyring(install.ring("grant"))
            swept = await reencrypt(install.grants(kube), lambda: ring, clock=now, pause=0)
            assert (swept.resealed, swept.left) == (0, 0)
        assert "stays" in install.admin("rotate", "--retire", "--ring", "grant").out
        assert old.id in {one.id for one in install.ring("grant")}

    async def test_status_shows_every_key_and_what_needs_it(self, install: Install, operator_kubeconfig: Path) -> None:
        assert [line.split() for line in install.admin("status").out.splitlines()[1:]] == [
            ["grant", "-", "-", "missing", "-"],
            ["token", "-", "-", "missing", "-"],
            ["signing", "-", "-", "missing", "-"],
        ]
        install.job("init")
        async with Kube(from_file(operator_kubeconfig)) as kube:
            await install.grants(kube).create(str(uuid.uuid4()), OWNER, grant(), now=now())
        [old] = install.ring("grant")
        install.admin("rotate", "--ring", "grant")
        [new, _] = install.ring("grant")
        assert rows(install) == [(new.id, "to come", "0"), (old.id, "seals", "1")]
        install.put_ring("grant", RingKey("another", b"a" * 32, now() - DAY))
        assert rows(install) == [("another", "seals", "0"), (old.id, "lost", "1")]


class TestCommand:
    def test_a_person_s_own_kubectl_is_the_way_when_no_other_is_set(
        self, install: Install, kubernetes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from localenv.tools import find

        kubectl = tmp_path / "bin" / "kubectl"
        kubectl.parent.mkdir()
        kubectl.symlink_to(find("kubectl"))
        monkeypatch.setenv("PATH", f"{kubectl.parent}:/usr/bin:/bin")
        places = {
            "LANYARD_SYSTEM_NAMESPACE": install.system.namespace,
            "LANYARD_EXCHANGE_NAMESPACE": install.exchange.namespace,
            "TMPDIR": str(tmp_path),
            "KUBECONFIG": str(kubernetes.kubeconfig),
        }
        said = run_keys("init", **places)
        assert (said.status, said.out) == (0, "ring grant: made\nring token: made\nring signing: made\n"), said.err
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bin"], "no socket is left behind"
        missing = run_keys("init", "--context", "nowhere", **places)
        assert missing.status == 2
        assert "nowhere" in missing.err

    def test_without_kubectl_it_says_so(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        said = run_keys("status")
        assert (said.status, said.err) == (2, "lanyard: kubectl cannot be run: is it installed and on PATH?\n")

    def test_a_namespace_that_is_not_there_is_told(self, install: Install) -> None:
        install.admin.system = f"{install.admin.system}-no"
        said = install.admin("init")
        assert said.status == 1
        assert "does not exist" in said.err

    def test_the_job_is_one_that_the_api_server_takes(self, install: Install) -> None:
        values = {"keyrings": {"init": {"image": "lanyard.example/lanyard:1"}}, "exchange": {"namespace": "x"}}
        [job] = [one for one in rendered(values, namespace=install.system.namespace) if one["kind"] == "Job"]
        restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        checked(
            install.system.client.patch(
                f"/api/v1/namespaces/{install.system.namespace}", json=restricted, headers=headers
            )
        )
        path = f"/apis/batch/v1/namespaces/{install.system.namespace}/jobs"
        made = install.system.client.post(path, json=job, params={"dryRun": "All", "fieldValidation": "Strict"})
        assert made.status_code == 201, made.text
        assert "Warning" not in made.headers, made.headers.get("Warning")
        assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["keys", "init", "--ring", "all"]


def rows(install: Install) -> list[tuple[str, str, str]]:
    """Key, state and count of each line of the ring `grant`."""
    lines = install.admin("status", "--ring", "grant").out.splitlines()[1:]
    return [(line[8:32].strip(), line[54:63].strip(), line[63:].strip()) for line in lines]


def consent() -> Consent:
    return Consent(
        connector="salesforce",
        connector_digest="d",
        client_id="app",
        redirect_uri="https://lanyard.example/oauth/callback/salesforce",
        scopes=("api",),
        state_hash="h",
        code_verifier=None,
        spec_generation=1,
        approved_by="ada",
        started_at=now(),
        answered_at=None,
        code=None,
        callback={},
        error="",
        raw_query=None,
    )
