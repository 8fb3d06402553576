"""`lanyard finalizers`: what a person, or the chart's Job before an uninstall, types."""

import asyncio
import os
import sys
from typing import NoReturn

import click

from lanyard.entry.settings import SettingsError, read


@click.group()
def finalizers() -> None:
    """What keeps a deleted Connection until its grant was taken back at the provider."""


@finalizers.command()
@click.option("--namespace", "-n", "namespaces", multiple=True, help="Only there; else LANYARD_NAMESPACES, else all.")
@click.option("--context", help="Context of the kubeconfig; its current one when absent.")
def clear(namespaces: tuple[str, ...], context: str | None) -> None:
    """Let every Connection go, for an uninstall or a namespace that is served no more. No grant is taken back."""
    try:
        from lanyard.clients.kubectl_proxy import KubectlProxyError
        from lanyard.errors import KubernetesError, LanyardError
    except ModuleNotFoundError as error:
        _end(f"{error.name} is not installed here: pip install 'lanyard[operator]'", 2)
    try:
        cleared = asyncio.run(_clear(namespaces, context))
    except (SettingsError, KubectlProxyError) as error:
        _end(str(error), 2)
    except KubernetesError as error:
        _end(f"stopped: the API server answered {error}. What was done stays done; run it again", 1)
    except LanyardError as error:
        _end(f"stopped: {error.message} Run it again", 1)
    click.echo(f"Connections let go: {cleared}")


async def _clear(namespaces: tuple[str, ...], context: str | None) -> int:
    from lanyard.clients.kube import Kube
    from lanyard.entry.identity import acting
    from lanyard.flows.finalizer import Finalizers

    settings = read(os.environ)
    async with acting(settings, context) as config, Kube(config) as kube:
        return await Finalizers(kube).clear(namespaces or settings.namespaces)


def _end(message: str, status: int) -> NoReturn:
    click.echo(f"lanyard: {message}", err=True)
    sys.exit(status)
