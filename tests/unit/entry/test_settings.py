import ipaddress
from datetime import timedelta
from pathlib import Path

import pytest

from lanyard.entry.settings import PREFIX, SecretAccess, Settings, SettingsError, read

CANARY = "c4n4ry-value"


def test_nothing_needs_to_be_set() -> None:
    assert read({}) == Settings()
    assert read({"PATH": "/bin", "HTTPS_PROXY": "http://proxy.example"}) == Settings()


def test_every_setting_is_read_from_the_environment() -> None:
    given = {
        "KUBECONFIG": "/etc/kubeconfig",
        "NAMESPACES": "sales, shop,,",
        "SECRET_ACCESS": "namespace",
        "CA_BUNDLE": "/etc/ca.pem",
        "EGRESS_ALLOWED_NETWORKS": "10.0.0.0/8,fd00::/8",
        "EGRESS_ALLOWED_HOSTS": "*.example.com",
        "ALLOW_LOOPBACK_HTTP": "true",
        "PROVIDER_DEADLINE": "5s",
        "RETRY_FIRST": "1s",
        "RETRY_LONGEST": "1m",
        "RETRY_CONFIGURATION": "1m, 1h30m",
        "RESYNC_INTERVAL": "1h",
        "WATCH_RESTART_PAUSE": "2s",
        "DRAIN_DEADLINE": "10s",
        "WORKERS": "8",
        "HEALTH_ADDRESS": "127.0.0.1",
        "HEALTH_PORT": "0",
        "SYSTEM_NAMESPACE": "ours",
        "EXCHANGE_NAMESPACE": "shared",
        "LEASE_DURATION": "20s",
        "LEASE_RENEW": "5s",
        "LEASE_RETRY": "2s",
        "KEYRING_GRANT": "/rings/grant.json",
        "KEYRING_TOKEN": "/rings/token.json",
        "KEYRING_SIGNING": "/rings/signing.json",
        "KEY_ACTIVATION": "15m",
        "LAST_EXCHANGE_INTERVAL": "2h",
        "SIGNING_KEY_ACTIVATION": "1h",
        "CODE_LIFETIME": "45s",
        "ORPHAN_AFTER": "48h",
        "REVOCATION_DEADLINE": "20s",
        "GATEWAY_URL": "https://lanyard.example:8443",
        "GATEWAY_ADDRESS": "127.0.0.1",
        "GATEWAY_PORT": "0",
        "GATEWAY_TLS_CERTIFICATE": "/tls/tls.crt",
        "GATEWAY_TLS_KEY": "/tls/tls.key",
        "GATEWAY_PROXIES": "10.0.0.0/8",
        "GATEWAY_REQUESTS_PER_MINUTE": "10",
        "GATEWAY_BROWSER_REQUESTS_PER_MINUTE": "5",
        "ISSUER_REFRESH": "20m",
        "ISSUER_KEYS_LIFE": "12h",
        "ISSUER_REFETCH_PAUSE": "1m",
        "TOKEN_LIFETIME": "30m",
        "EXCHANGE_CLIENT_REQUESTS_PER_MINUTE": "60",
        "EXCHANGE_NAMESPACE_REQUESTS_PER_MINUTE": "600",
        "EXCHANGE_ADDRESS_REQUESTS_PER_MINUTE": "100",
        "LAST_USE_INTERVAL": "30s",
        "REST_API": "true",
        "REST_API_READS": "30",
        "REST_API_CREATIONS": "20",
        "REST_API_CHANGES": "10",
        "WATCH_SILENCE": "1m",
        "LOG_LEVEL": "DEBUG",
    }
    assert {name.lower() for name in given} == Settings.model_fields.keys()
    settings = read({PREFIX + name: value for name, value in given.items()})
    assert settings == Settings(
        kubeconfig=Path("/etc/kubeconfig"),
        namespaces=("sales", "shop"),
        secret_access=SecretAccess.NAMESPACE,
        ca_bundle=Path("/etc/ca.pem"),
        egress_allowed_networks=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")),
        egress_allowed_hosts=("*.example.com",),
        allow_loopback_http=True,
        provider_deadline=timedelta(seconds=5),
        retry_first=timedelta(seconds=1),
        retry_longest=timedelta(minutes=1),
        retry_configuration=(timedelta(minutes=1), timedelta(minutes=90)),
        resync_interval=timedelta(hours=1),
        watch_restart_pause=timedelta(seconds=2),
        drain_deadline=timedelta(seconds=10),
        workers=8,
        health_address="127.0.0.1",
        health_port=0,
        system_namespace="ours",
        exchange_namespace="shared",
        lease_duration=timedelta(seconds=20),
        lease_renew=timedelta(seconds=5),
        lease_retry=timedelta(seconds=2),
        keyring_grant=Path("/rings/grant.json"),
        key_activation=timedelta(minutes=15),
        keyring_token=Path("/rings/token.json"),
        keyring_signing=Path("/rings/signing.json"),
        signing_key_activation=timedelta(hours=1),
        gateway_url="https://lanyard.example:8443",
        revocation_deadline=timedelta(seconds=20),
        orphan_after=timedelta(hours=48),
        last_exchange_interval=timedelta(hours=2),
        code_lifetime=timedelta(seconds=45),
        gateway_address="127.0.0.1",
        gateway_port=0,
        gateway_tls_certificate=Path("/tls/tls.crt"),
        gateway_tls_key=Path("/tls/tls.key"),
        gateway_proxies=(ipaddress.ip_network("10.0.0.0/8"),),
        gateway_requests_per_minute=10,
        gateway_browser_requests_per_minute=5,
        rest_api=True,
        rest_api_reads=30,
        rest_api_creations=20,
        rest_api_changes=10,
        watch_silence=timedelta(minutes=1),
        issuer_refresh=timedelta(minutes=20),
        issuer_keys_life=timedelta(hours=12),
        issuer_refetch_pause=timedelta(minutes=1),
        token_lifetime=timedelta(minutes=30),
        exchange_client_requests_per_minute=60,
        exchange_namespace_requests_per_minute=600,
        exchange_address_requests_per_minute=100,
        last_use_interval=timedelta(seconds=30),
        log_level="DEBUG",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_ACCESS", CANARY),
        ("EGRESS_ALLOWED_NETWORKS", f"10.0.0.0/8,{CANARY}"),
        ("EGRESS_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("ALLOW_LOOPBACK_HTTP", CANARY),
        ("PROVIDER_DEADLINE", CANARY),
        ("PROVIDER_DEADLINE", "20"),
        ("PROVIDER_DEADLINE", ""),
        ("PROVIDER_DEADLINE", "9" * 30 + "h"),
        ("RESYNC_INTERVAL", "0s"),
        ("RETRY_CONFIGURATION", ""),
        ("RETRY_CONFIGURATION", f"5m,{CANARY}"),
        ("RETRY_CONFIGURATION", "5m,0s"),
        ("WORKERS", CANARY),
        ("WORKERS", "0"),
        ("WORKERS", "10000"),
        ("HEALTH_PORT", "-1"),
        ("HEALTH_PORT", "65536"),
        ("LOG_LEVEL", "TRACE"),
    ],
)
def test_a_malformed_setting_is_named_and_its_value_is_not(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read({PREFIX + name: value})
    assert str(caught.value) == f"LANYARD_{name} does not have the form it needs: see docs/reference/settings.md"
    assert caught.value.__suppress_context__, "the cause quotes the value"


def test_an_unknown_setting_is_named_and_its_value_is_not() -> None:
    with pytest.raises(SettingsError) as caught:
        read({"LANYARD_RETRY_FRIST": CANARY})
    assert str(caught.value) == "LANYARD_RETRY_FRIST is not a setting: see docs/reference/settings.md"


def test_what_the_tests_and_the_environment_use_is_not_a_setting_of_the_operator() -> None:
    assert read({"LANYARD_LOCALENV_BIN": "/bin"}) == Settings()


@pytest.mark.parametrize(
    "name",
    [
        "LANYARD_PORT",
        "LANYARD_SERVICE_HOST",
        "LANYARD_METRICS_SERVICE_PORT",
        "LANYARD_METRICS_SERVICE_PORT_HTTP",
        "LANYARD_METRICS_PORT_8080_TCP",
        "LANYARD_METRICS_PORT_8080_TCP_ADDR",
    ],
)
def test_what_kubelet_sets_for_a_service_of_our_name_is_no_setting(name: str) -> None:
    assert read({name: "tcp://10.96.0.7:8080"}) == Settings()


def test_a_setting_that_looks_like_a_service_s_is_a_setting() -> None:
    assert read({"LANYARD_HEALTH_PORT": "9090"}).health_port == 9090


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().workers = 3  # type: ignore[misc]


def test_every_setting_says_what_it_is_for() -> None:
    assert all((field.description or "").endswith(".") for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    "given",
    [{"LEASE_DURATION": "4s"}, {"LEASE_RENEW": "8s"}, {"LEASE_RETRY": "6s"}],
    ids=["too short a duration", "too rare a renewal", "too long a pause"],
)
def test_a_lease_that_would_end_before_its_second_renewal_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="LANYARD_LEASE_RETRY does not have the form it needs"):
        read({PREFIX + name: value for name, value in given.items()})
