"""What is committed and rendered from the code is what the code renders today."""

import itertools
from typing import Any

import pytest
import yaml

from docsgen.markdown import between, template
from docsgen.pages import PAGES, ROOT, committed
from docsgen.rights import EXCHANGE, OPERATOR, SERVED, operator_rights
from lanyard.api.schema import KINDS, file_name, render
from lanyard.reasons import Reason
from support.install import NAMESPACE, ChartError, rendered


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_page_is_up_to_date(path: str) -> None:
    assert PAGES[path](committed(path)) == committed(path), "run make docs"


@pytest.mark.spec("K1")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("folder", ["crds", "charts/lanyard/files/crds"])
def test_a_committed_kind_is_what_its_model_renders(folder: str, kind: Any) -> None:
    assert (ROOT / folder / file_name(kind)).read_bytes() == render(kind).encode(), "run make crds"


@pytest.mark.spec("K1")
@pytest.mark.parametrize("folder", ["crds", "charts/lanyard/files/crds"])
def test_there_are_no_kinds_but_those_of_the_models(folder: str) -> None:
    assert {file.name for file in (ROOT / folder).iterdir()} == {file_name(kind) for kind in KINDS}


def test_every_reason_has_its_section() -> None:
    text = committed("docs/reasons.md")
    assert [reason.value for reason in Reason if f"\n### {reason.value}\n" not in text] == []


def test_the_chart_installs_the_kinds_unchanged() -> None:
    """What helm read and wrote again is the same object, but for its labels and annotations."""
    found = {one["metadata"]["name"]: one["spec"] for one in rendered() if one["kind"] == "CustomResourceDefinition"}
    ours = [yaml.safe_load(render(kind)) for kind in KINDS]
    assert found == {one["metadata"]["name"]: one["spec"] for one in ours}


@pytest.mark.parametrize(("keep", "annotations"), [(True, {"helm.sh/resource-policy": "keep"}), (False, None)])
def test_kinds_stay_behind_unless_the_values_say_otherwise(keep: bool, annotations: dict[str, str] | None) -> None:
    found = [one for one in rendered({"crds": {"keep": keep}}) if one["kind"] == "CustomResourceDefinition"]
    assert [one["metadata"].get("annotations") for one in found] == [annotations] * len(KINDS)


def test_kinds_are_left_out_when_the_values_say_so() -> None:
    assert not any(one["kind"] == "CustomResourceDefinition" for one in rendered({"crds": {"enabled": False}}))


@pytest.mark.spec("C17")
def test_controllers_of_servicebinding_io_may_read_connections_and_nothing_else() -> None:
    roles = [one for one in rendered() if one["metadata"].get("labels", {}).get("servicebinding.io/controller")]
    assert [role["rules"] for role in roles] == [
        [{"apiGroups": ["lanyard.dev"], "resources": ["connections"], "verbs": ["get", "list", "watch"]}]
    ]


def test_the_operator_in_named_namespaces_has_no_cluster_wide_right_on_secrets() -> None:
    places = {
        place for place, _, resource, _ in operator_rights(rendered({"scope": {"namespaces": [SERVED]}}))
        if resource.startswith(("secrets", "serviceaccounts"))
    }  # fmt: skip
    assert places == {SERVED, NAMESPACE, EXCHANGE}


@pytest.mark.parametrize(
    "account",
    [{"create": False, "name": "ours"}, {"name": "ours"}],
    ids=["made by somebody else", "made by the chart"],
)
@pytest.mark.parametrize("part", ["operator", "gateway"])
def test_a_service_account_of_another_name_gets_the_rights(part: str, account: dict[str, Any]) -> None:
    manifests = rendered(
        {"serviceAccount": account} if part == "operator" else {"gateway": {"serviceAccount": account}}
    )
    subjects = {one["metadata"]["name"]: one["subjects"] for one in manifests if one["kind"] == "ClusterRoleBinding"}
    assert subjects[f"lanyard-{part}"] == [{"kind": "ServiceAccount", "name": "ours", "namespace": NAMESPACE}]
    made = {one["metadata"]["name"] for one in manifests if one["kind"] == "ServiceAccount"}
    assert ("ours" in made) is account.get("create", True)
    assert f"lanyard-{part}" not in made


def test_without_a_gateway_nothing_of_it_is_made() -> None:
    names = [one["metadata"]["name"] for one in rendered({"gateway": {"enabled": False}})]
    assert "lanyard-gateway" not in names
    assert "lanyard-exchange" in names, "the operator's Lease lies there"


def test_no_rights_are_given_when_the_values_say_so() -> None:
    off = rendered({"rbac": {"create": False, "aggregate": False, "serviceBinding": False}})
    assert [one["metadata"]["name"] for one in off if "rules" in one] == [
        "lanyard-authorizer",
        "lanyard-catalogue-view",
    ]


def test_viewers_of_the_catalogue_are_bound_when_named() -> None:
    everybody = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
    found = rendered({"rbac": {"catalogueViewers": [everybody]}})
    bindings = {one["metadata"]["name"]: one for one in found if one["kind"] == "ClusterRoleBinding"}
    assert bindings["lanyard-catalogue-view"]["subjects"] == [everybody]
    assert OPERATOR in bindings


def network_policies(values: dict[str, Any]) -> dict[str, Any]:
    return {one["metadata"]["name"]: one["spec"] for one in rendered(values) if one["kind"] == "NetworkPolicy"}


@pytest.mark.parametrize("peers", [[], [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]])
def test_the_gateway_is_reached_by_browsers_and_for_metrics_and_reaches_the_api_server_only(peers: list[Any]) -> None:
    reach = {"cidrs": ["10.0.0.1/32"], "ports": [6443]}
    values = {"networkPolicy": {"gateway": {"from": peers}, "egress": {"apiServer": reach}}}
    policy = network_policies(values)["lanyard-gateway"]
    assert policy["ingress"] == [
        {"ports": [{"port": 8080, "protocol": "TCP"}]},
        {"ports": [{"port": 8443, "protocol": "TCP"}]} | ({"from": peers} if peers else {}),
    ]
    assert policy["egress"] == [
        {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 6443, "protocol": "TCP"}]}
    ]
    assert "lanyard-gateway" not in network_policies({"gateway": {"enabled": False}})


@pytest.mark.spec("A7")
def test_the_rest_api_brings_its_rights_and_writes_in_named_namespaces_only() -> None:
    def of(**values: Any) -> list[Any]:
        return [one for one in rendered({"gateway": {"restAPI": values}}) if "rules" in one]

    before = of()
    assert of(enabled=False, namespaces=["sales"]) == before
    reviews, sales, hr = [one for one in of(enabled=True, namespaces=["sales", "hr"]) if one not in before]
    assert (reviews["kind"], [rule["verbs"] for rule in reviews["rules"]]) == ("ClusterRole", [["create"], ["create"]])
    for role, namespace in ((sales, "sales"), (hr, "hr")):
        assert (role["kind"], role["metadata"]["namespace"]) == ("Role", namespace)
        assert role["rules"] == [
            {
                "apiGroups": ["lanyard.dev"],
                "resources": ["federatedcredentials"],
                "verbs": ["create", "patch", "delete"],
            }
        ]


@pytest.mark.spec("C15")
def test_only_with_the_rest_api_on_the_gateway_reaches_issuers() -> None:
    egress = network_policies({"gateway": {"restAPI": {"enabled": True}}})["lanyard-gateway"]["egress"]
    assert [{port["port"] for port in rule["ports"]} for rule in egress] == [{443, 6443}, {53}, {443}]


@pytest.mark.spec("C15")
def test_the_network_policy_lets_in_metrics_only_and_out_what_is_listed() -> None:
    vault = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 8200, "protocol": "TCP"}]}
    values = {"networkPolicy": {"egress": {"apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]}, "extra": [vault]}}}
    policy = network_policies(values)["lanyard-operator"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": 8080, "protocol": "TCP"}]]
    dns, api_server, providers, extra = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert api_server == {
        "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 6443, "protocol": "TCP"}],
    }  # fmt: skip
    assert [port["port"] for port in providers["ports"]] == [443]
    assert extra == vault


@pytest.mark.parametrize(
    "values",
    [{"bogus": 1}, {"scope": {"namespaces": ["Not A Name"]}}, {"networkPolicy": {"metrics": {"port": 0}}}],
    ids=["unknown", "no namespace name", "no port"],
)
def test_values_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ChartError, match="values don't meet the specifications"):
        rendered(values)


def test_every_value_is_commented() -> None:
    lines = (ROOT / "charts/lanyard/values.yaml").read_text().splitlines()
    bare = [
        line.strip()
        for before, line in itertools.pairwise(lines)
        if line.strip() and not line.strip().startswith(("#", "- ")) and _is_leaf(line)
        and not before.strip().startswith("#")
    ]  # fmt: skip
    assert bare == []


def _is_leaf(line: str) -> bool:
    name, _, value = line.partition(":")
    return bool(value.strip()) and "/" not in name


def test_a_page_without_its_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs the markers"):
        between("nothing here", "rights-cluster", "")


def test_placeholders_are_shown_so_that_markdown_keeps_them() -> None:
    assert template("The Secret {name}: `kubectl get {kind}`") == "The Secret *name*: `kubectl get <kind>`"
