"""How a process reaches issuers and providers, by its settings."""

import os
from collections.abc import Callable

from lanyard.clients.dial import CONNECT_SECONDS
from lanyard.clients.egress import EgressPolicy
from lanyard.clients.http import Outbound
from lanyard.clients.proxies import ProxySettings
from lanyard.entry.settings import Settings, SettingsError


def outbound_of(
    settings: Settings, *, may_send: Callable[[], bool] = lambda: True, connect_seconds: float = CONNECT_SECONDS
) -> Outbound:
    """SettingsError when the file of additional CAs cannot be read."""
    policy = EgressPolicy(
        allowed_networks=settings.egress_allowed_networks,
        allowed_hosts=settings.egress_allowed_hosts,
        allow_loopback_http=settings.allow_loopback_http,
    )
    try:
        ca_bundle = settings.ca_bundle.read_text() if settings.ca_bundle is not None else None
    except OSError as error:
        raise SettingsError(f"LANYARD_CA_BUNDLE: the file cannot be read ({type(error).__name__})") from None
    proxies = ProxySettings.from_environment(os.environ)
    return Outbound(policy, ca_bundle=ca_bundle, proxies=proxies, may_send=may_send, connect_seconds=connect_seconds)
