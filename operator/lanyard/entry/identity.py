"""Who a process is to the API server."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lanyard.clients.kubeconfig import KubeConfig, from_file, in_cluster
from lanyard.clients.kubectl_proxy import through_kubectl
from lanyard.entry.settings import Settings, SettingsError


def kube_config(settings: Settings) -> KubeConfig:
    """By its settings. SettingsError when there is no way to reach an API server."""
    try:
        return from_file(settings.kubeconfig) if settings.kubeconfig is not None else in_cluster(os.environ)
    except ValueError as error:
        raise SettingsError(f"LANYARD_KUBECONFIG: {error}") from None
    except OSError as error:
        raise SettingsError(f"LANYARD_KUBECONFIG: the file cannot be read ({type(error).__name__})") from None
    except KeyError:
        raise SettingsError("LANYARD_KUBECONFIG is not set, and this is not a pod: give a kubeconfig file") from None


@asynccontextmanager
async def acting(settings: Settings, context: str | None) -> AsyncIterator[KubeConfig]:
    """For a command that ends: the pod's ServiceAccount, whoever LANYARD_KUBECONFIG names, or the person at the
    keyboard through their kubectl; a `context` is always theirs. SettingsError, KubectlProxyError.
    """
    if context is None and (settings.kubeconfig is not None or "KUBERNETES_SERVICE_HOST" in os.environ):
        yield kube_config(settings)
    else:
        async with through_kubectl(context) as config:
            yield config
