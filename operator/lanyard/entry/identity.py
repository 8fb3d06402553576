"""Who a process is to the API server, by its settings."""

import os

from lanyard.clients.kubeconfig import KubeConfig, from_file, in_cluster
from lanyard.entry.settings import Settings, SettingsError


def kube_config(settings: Settings) -> KubeConfig:
    """SettingsError when there is no way to reach an API server."""
    try:
        return from_file(settings.kubeconfig) if settings.kubeconfig is not None else in_cluster(os.environ)
    except ValueError as error:
        raise SettingsError(f"LANYARD_KUBECONFIG: {error}") from None
    except OSError as error:
        raise SettingsError(f"LANYARD_KUBECONFIG: the file cannot be read ({type(error).__name__})") from None
    except KeyError:
        raise SettingsError("LANYARD_KUBECONFIG is not set, and this is not a pod: give a kubeconfig file") from None
