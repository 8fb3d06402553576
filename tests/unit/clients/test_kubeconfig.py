import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from lanyard.clients.kubeconfig import SERVICE_ACCOUNT, BearerToken, KubeConfig, from_file, in_cluster
from lanyard.sensitive import Sensitive
from support.certificates import Authority

CANARY = "c4n4ry-token"


def document(**changed: Any) -> dict[str, Any]:
    """A kubeconfig with decoys around the current context."""
    user = {"token": CANARY} | changed.pop("user", {})
    cluster = {"server": "https://api.example:6443/"} | changed.pop("cluster", {})
    return {
        "current-context": "here",
        "contexts": [
            {"name": "elsewhere", "context": {"cluster": "b", "user": "b"}},
            {"name": "here", "context": {"cluster": "a", "user": "a"}},
        ],
        "clusters": [{"name": "b", "cluster": {"server": "https://wrong"}}, {"name": "a", "cluster": cluster}],
        "users": [{"name": "b", "user": {"token": "wrong"}}, {"name": "a", "user": user}],
    } | changed


def written(folder: Path, content: Any) -> Path:
    path = folder / "kubeconfig"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_the_current_context_is_used(tmp_path: Path) -> None:
    config = from_file(written(tmp_path, document()))
    assert (config.server, config.token, config.token_file) == ("https://api.example:6443", Sensitive(CANARY), None)
    assert (config.ca_file, config.ca_data) == (None, None)


def test_a_certificate_may_be_given_in_place(tmp_path: Path) -> None:
    data = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
    config = from_file(written(tmp_path, document(cluster={"certificate-authority-data": data})))
    assert config.ca_data == "-----BEGIN CERTIFICATE-----"


def test_files_are_meant_from_where_the_kubeconfig_lies(tmp_path: Path) -> None:
    content = document(cluster={"certificate-authority": "ca.crt"}, user={"tokenFile": "/run/token", "token": None})
    config = from_file(written(tmp_path, content))
    assert (config.ca_file, config.token_file) == (str(tmp_path / "ca.crt"), "/run/token")
    assert config.token is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"users: [{{token: {CANARY}", "is not YAML"),
        (f"{CANARY}", "is not a mapping"),
        ("", "is not a mapping"),
        ({"contexts": None, "clusters": None, "users": None, "current-context": ""}, "no entry '' in contexts"),
        ({}, "no entry None in contexts"),
        (document(contexts=[{"name": "here"}]), "no entry 'here' in contexts"),
        (document(contexts=[{"name": "here", "context": {}}]), "no entry None in clusters"),
        (document(clusters=[]), "no entry 'a' in clusters"),
        (document(users=None), "no entry 'a' in users"),
        (document(cluster={"server": ""}), "no server"),
        (document(user={"token": "", "client-certificate": "x"}), "no token"),
        (document(user={"token": None, "exec": {"command": "aws"}}), "no token"),
        (document(cluster={"certificate-authority-data": "%"}), "base64"),
    ],
    ids=[
        "not YAML",
        "a scalar",
        "nothing",
        "what kubectl writes when it has nothing",
        "an empty mapping",
        "a context without content",
        "a context without members",
        "no cluster of that name",
        "no users",
        "no server",
        "a client certificate only",
        "a command only",
        "a certificate that is not base64",
    ],
)
def test_a_kubeconfig_that_does_not_do_says_what_is_missing(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_file(written(tmp_path, content))
    assert message in str(caught.value)
    assert CANARY not in f"{caught.value} {caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("host", "server"),
    [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")],
    ids=["IPv4", "IPv6"],
)
def test_in_a_pod_the_mounted_service_account_is_used(host: str, server: str) -> None:
    config = in_cluster({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"})
    assert config == KubeConfig(
        server=server, ca_file=str(SERVICE_ACCOUNT / "ca.crt"), token_file=str(SERVICE_ACCOUNT / "token")
    )


def test_outside_of_a_pod_there_is_none() -> None:
    with pytest.raises(KeyError):
        in_cluster({})


def test_a_token_is_never_shown() -> None:
    config = KubeConfig(server="https://api.example", token=Sensitive(CANARY))
    assert CANARY not in f"{config} {BearerToken(config)}"


def test_a_token_file_wins_and_is_read_again_when_the_token_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    bearer = BearerToken(KubeConfig(server="", token=Sensitive("static"), token_file=str(file)))
    assert bearer.header() == "Bearer first"
    file.write_text("second")
    assert bearer.header() == "Bearer first", "not read for every request"
    bearer.forget()
    assert bearer.header() == "Bearer second"


def test_a_static_token_is_used_as_it_is() -> None:
    assert BearerToken(KubeConfig(server="", token=Sensitive("static"))).header() == "Bearer static"
    assert BearerToken(KubeConfig(server="")).header() == "", "kubectl adds its login only to what has none"


@pytest.mark.spec("A5")
def test_the_api_server_is_verified() -> None:
    context = KubeConfig(server="https://api.example").ssl_context()
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_given_authority_replaces_those_of_the_system(tmp_path: Path) -> None:
    authority = Authority("tests")
    for config in (
        KubeConfig(server="https://x", ca_data=authority.pem),
        KubeConfig(server="https://x", ca_file=str(_file(tmp_path, authority.pem))),
    ):
        context = config.ssl_context()
        assert isinstance(context, ssl.SSLContext)
        assert len(context.get_ca_certs()) == 1


def _file(folder: Path, text: str) -> Path:
    path = folder / "ca.crt"
    path.write_text(text)
    return path
