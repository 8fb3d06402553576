"""What `lanyard keys` does.

In a pod it acts as the pod's ServiceAccount (the chart's Job runs `init`), with LANYARD_KUBECONFIG as that file says,
and otherwise as the person at the keyboard, through their kubectl. It shows ids, times and counts, never a key.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import click

from lanyard.clients.kube import Kube
from lanyard.clients.kubectl_proxy import KubectlProxyError
from lanyard.entry.identity import acting
from lanyard.entry.settings import Settings, SettingsError, read
from lanyard.errors import KubernetesError
from lanyard.flows import keyrings
from lanyard.flows.keyrings import KeyringCommandError, NewKey
from lanyard.stores.ring_format import KEY_BYTES
from lanyard.stores.rings import Ring, RingStore
from lanyard.stores.signing import fresh_scalar

Work = Callable[[RingStore, Settings], Awaitable[None]]
_LINE = "{:<8}{:<24}{:<22}{:<9}{}"


def init(ring: str, context: str | None) -> None:
    async def work(store: RingStore, _: Settings) -> None:
        made = await keyrings.init(store, {one: _new_key(one) for one in _chosen(ring)}, now=_now())
        for one, new in made.items():
            click.echo(f"ring {one}: {'made' if new else 'there already, left as it is'}")

    _run(work, context)


def rotate(ring: str, context: str | None) -> None:
    async def add(store: RingStore, one: Ring, settings: Settings) -> None:
        new, signs = _new_key(one), one is Ring.SIGNING
        activation = settings.signing_key_activation if signs else settings.key_activation
        since = await keyrings.rotate(store, one, new, now=_now(), activation=activation)
        click.echo(f"ring {one}: key {new.id} {'signs' if signs else 'seals'} from {_shown(since)}")

    _run(_each(ring, add), context)


def retire(ring: str, context: str | None) -> None:
    async def take_away(store: RingStore, one: Ring, _: Settings) -> None:
        retired = await keyrings.retire(store, one, now=_now())
        for key_id in retired.removed:
            click.echo(f"ring {one}: key {key_id} retired")
        for key_id, count in retired.needed.items():
            click.echo(f"ring {one}: key {key_id} stays, Secrets sealed with it: {count}")
        if not retired.removed and not retired.needed:
            click.echo(f"ring {one}: nothing to retire")

    _run(_each(ring, take_away), context)


def status(ring: str, context: str | None) -> None:
    async def show(store: RingStore, one: Ring, _: Settings) -> None:
        rows = await keyrings.status(store, one, now=_now())
        for row in rows:
            click.echo(_LINE.format(row.ring, row.id, _shown(row.active_from), row.state, row.references))
        if not any(row.active_from is not None for row in rows):
            click.echo(_LINE.format(one, "-", "-", "missing", "-"))

    click.echo(_LINE.format("RING", "KEY", "ACTIVE FROM", "STATE", "SECRETS"))
    _run(_each(ring, show), context)


def _chosen(ring: str) -> tuple[Ring, ...]:
    return tuple(Ring) if ring == "all" else (Ring(ring),)


def _each(chosen: str, act: Callable[[RingStore, Ring, Settings], Awaitable[None]]) -> Work:
    """One ring or all of them: what is refused for one is still done for the others."""

    async def work(store: RingStore, settings: Settings) -> None:
        refused = []
        for ring in _chosen(chosen):
            try:
                await act(store, ring, settings)
            except KeyringCommandError as error:
                refused.append(str(error))
        if refused:
            raise KeyringCommandError("\n".join(refused))

    return work


def _run(work: Work, context: str | None) -> None:
    """Exit status 1 when it was refused or failed, 2 when it could not be tried."""

    async def act() -> None:
        settings = read(os.environ)
        async with acting(settings, context) as config, Kube(config) as kube:
            places = {"system": settings.system_namespace, "exchange": settings.exchange_namespace}
            await work(RingStore(kube, **places), settings)

    try:
        asyncio.run(act())
    except (SettingsError, KubectlProxyError) as error:
        _end(str(error), 2)
    except KeyringCommandError as error:
        _end(str(error), 1)
    except KubernetesError as error:
        _end(_said(error), 1)


def _said(error: KubernetesError) -> str:
    match error.code:
        case 0:
            return "the API server does not answer"
        case 401 | 403:
            return "the API server does not let you read or write the Secrets that this needs"
        case 404:
            return "the namespace of the keyrings does not exist: set LANYARD_SYSTEM_NAMESPACE, or install the chart"
        case 409:
            return "the ring was changed by somebody else at the same moment: look at it and try again"
        case _:
            return f"{error}: try again"


def _end(message: str, status: int) -> None:
    click.echo("\n".join(f"lanyard: {line}" for line in message.splitlines()), err=True)
    sys.exit(status)


def _new_key(ring: Ring) -> NewKey:
    material = fresh_scalar() if ring is Ring.SIGNING else secrets.token_bytes(KEY_BYTES)
    return NewKey(f"{_now():%Y%m%d}-{secrets.token_hex(3)}", material)


def _now() -> datetime:
    return datetime.now(UTC)


def _shown(when: datetime | None) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if when is not None else "-"
