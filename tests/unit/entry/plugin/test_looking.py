"""`connectors`, `connector show`, `explain`, `links`, `check` and how times are said."""

import json
from datetime import timedelta
from typing import Any

import pytest
import yaml

from lanyard.api.schema import KINDS, crd
from lanyard.connectors.loader import from_object, load_catalogue
from lanyard.entry.plugin.times import told
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Reason
from support.scripted_kubectl import NOW, ScriptedKubectl, condition, connection, forbidden, listed

pytestmark = pytest.mark.spec("K7")

OWN = {"displayName": "Our GitHub", "methods": [{"name": "bearerToken"}]}


@pytest.fixture
def kubectl() -> ScriptedKubectl:
    return ScriptedKubectl()


def objects(*pairs: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return listed(*({"metadata": {"name": name}, "spec": spec} for name, spec in pairs))


def test_connectors_of_the_cluster_stand_beside_and_above_the_built_in_ones(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connectors.lanyard.dev", out=objects(("github", OWN), ("homemade", OWN), ("broken", {"methods": []})))
    rows = {row["name"]: row for row in json.loads(kubectl.lanyard("connectors", "-o", "json").stdout)}
    assert rows.keys() == load_catalogue().keys() | {"homemade", "broken"}
    assert (rows["github"]["origin"], rows["github"]["product"]) == ("cluster", "Our GitHub")
    assert "is not usable" in rows["broken"]["problem"]


def test_an_object_that_is_not_usable_hides_the_built_in_one_as_it_does_for_the_operator(
    kubectl: ScriptedKubectl,
) -> None:
    kubectl.on("connectors.lanyard.dev", out=objects(("github", {"methods": []})))
    found = kubectl.lanyard("connector", "show", "github")
    assert found.stdout.startswith("github: without a name of its own (cluster)\n✗ problem ")
    assert "bearerToken" not in found.stdout


@pytest.mark.parametrize(
    "said",
    ["The connection to the server x was refused", forbidden("connectors", ""), "no resource type"],
    ids=["no cluster", "no rights", "no kinds"],
)
def test_the_built_in_ones_are_listed_whatever_the_cluster_says(kubectl: ScriptedKubectl, said: str) -> None:
    kubectl.on("connectors.lanyard.dev", err=said)
    found = kubectl.lanyard("connectors", "-o", "name")
    assert found.stdout.split() == list(load_catalogue())
    assert "built-in connectors only" in found.stderr
    assert found.exit_code == 0


def test_a_search_looks_at_names_products_and_methods(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connectors.lanyard.dev", out=listed())
    assert kubectl.lanyard("connectors", "--search", "SALESFORCE", "-o", "name").stdout.split() == [
        "salesforce",
        "salesforce-agentforce-flows",
        "salesforce-marketing-cloud",
    ]
    nothing = kubectl.lanyard("connectors", "--search", "no such thing")
    assert (nothing.stdout, nothing.exit_code) == ("", 0)


@pytest.mark.parametrize("name", load_catalogue())
def test_a_connector_shown_as_yaml_can_be_applied_and_is_the_same(kubectl: ScriptedKubectl, name: str) -> None:
    kubectl.on("connectors.lanyard.dev", out=listed())
    made = yaml.safe_load(kubectl.lanyard("connector", "show", name, "-o", "yaml").stdout)
    assert from_object(name, made["spec"]) == load_catalogue()[name]
    told_plainly = kubectl.lanyard("connector", "show", name)
    assert told_plainly.exit_code == 0
    assert all(parameter in told_plainly.stdout for parameter in load_catalogue()[name].spec.parameters)


def test_a_connector_that_is_not_there_suggests_the_closest(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connectors.lanyard.dev", out=listed())
    found = kubectl.lanyard("connector", "show", "salesfroce")
    assert found.exit_code == 1
    assert "Did you mean salesforce" in found.stderr


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_reason_is_explained(kubectl: ScriptedKubectl, reason: Reason) -> None:
    found = json.loads(kubectl.lanyard("explain", reason.value.lower(), "-o", "json").stdout)
    assert found["reason"] == reason.value
    assert found["retry"] == CATALOGUE[reason].retry.value
    assert "{" not in found["message"] + found["nextStep"]


def test_a_reason_that_is_none_suggests_the_closest(kubectl: ScriptedKubectl) -> None:
    found = kubectl.lanyard("explain", "ClientRejcted")
    assert found.exit_code == 2
    assert "Did you mean ClientRejected" in found.stderr
    assert kubectl.asked == []


ALLOWS: dict[str, tuple[Any, bool]] = {
    "by name": ({"names": ["sales"]}, True),
    "by label": ({"selector": {"matchLabels": {"team": "sales"}}}, True),
    "every namespace": ({"selector": {}}, True),
    "another name": ({"names": ["hr"]}, False),
    "another label": ({"selector": {"matchLabels": {"team": "hr"}}}, False),
    "nobody": ({}, False),
    "not said": (None, False),
}


@pytest.mark.spec("C13")
@pytest.mark.parametrize(("allowed", "listed_there"), ALLOWS.values(), ids=ALLOWS.keys())
def test_links_are_the_connections_that_allow_this_namespace(
    kubectl: ScriptedKubectl, allowed: Any, listed_there: bool
) -> None:
    kubectl.on("namespace", "sales", out={"metadata": {"name": "sales", "labels": {"team": "sales"}}})
    spec = {} if allowed is None else {"allowedNamespaces": allowed}
    one = connection("crm", spec=spec, namespace="shared")
    kubectl.on("connections.lanyard.dev", "--all-namespaces", out=listed(one, connection("own", spec=spec)))
    assert kubectl.lanyard("links", "-o", "name").stdout == ("shared/crm\n" if listed_there else "")


@pytest.mark.spec("C13")
def test_links_are_told_with_what_they_would_bring(kubectl: ScriptedKubectl) -> None:
    kubectl.on("namespace", "sales", out={"metadata": {"name": "sales"}})
    ready = condition("Ready", "True", "TokenPublished", "")
    open_to = {"allowedNamespaces": {"names": ["sales"]}, "connector": "salesforce"}
    one = connection("crm", ready, spec=open_to, status={"account": "bot@acme.com"}, namespace="shared")
    waiting = connection("hr", spec=open_to | {"connector": "workday"}, namespace="people")
    kubectl.on("connections.lanyard.dev", out=listed(one, waiting))
    rows = [line.split() for line in kubectl.lanyard("links").stdout.splitlines()]
    assert rows == [
        ["NAMESPACE", "NAME", "READY", "CONNECTOR", "ACCOUNT"],
        ["shared", "crm", "True", "salesforce", "bot@acme.com"],
        ["people", "hr", "Unknown", "workday", "-"],
    ]
    assert json.loads(kubectl.lanyard("links", "-o", "json").stdout)[0]["account"] == "bot@acme.com"


@pytest.mark.spec("C13")
def test_without_the_namespaces_labels_no_label_admits(kubectl: ScriptedKubectl) -> None:
    kubectl.on("namespace", "sales", err=forbidden("namespaces", "sales"))
    one = connection("crm", spec={"allowedNamespaces": {"selector": {}}}, namespace="shared")
    kubectl.on("connections.lanyard.dev", out=listed(one))
    found = kubectl.lanyard("links", "-o", "name")
    assert found.stdout == ""
    assert "may not be read" in found.stderr


def test_a_link_is_no_thing_to_link_to(kubectl: ScriptedKubectl) -> None:
    kubectl.on("namespace", "sales", out={"metadata": {"name": "sales"}})
    spec = {"allowedNamespaces": {"names": ["sales"]}, "linkTo": {"namespace": "a", "name": "b"}}
    kubectl.on("connections.lanyard.dev", out=listed(connection("crm", spec=spec, namespace="shared")))
    assert kubectl.lanyard("links", "-o", "name").stdout == ""


DATE = "  Date: Wed, 25 Nov 2026 09:20:02 GMT\n"


@pytest.fixture
def healthy(kubectl: ScriptedKubectl) -> ScriptedKubectl:
    kubectl.on("version", out={"clientVersion": {"gitVersion": "v1.37.2"}, "serverVersion": {"gitVersion": "v1.37.2"}})
    kubectl.then("get", "--raw", "/version", answers=[_finished(DATE)])
    for kind in KINDS:
        made = crd(kind) | {"status": {"conditions": [{"type": "Established", "status": "True"}]}}
        kubectl.on("customresourcedefinitions.apiextensions.k8s.io", made["metadata"]["name"], out=made)
    up = {"metadata": {"name": "lanyard-operator"}, "status": {"availableReplicas": 1}}
    kubectl.on("deployments.apps", out=listed(up))
    lease = {"renewTime": "2026-11-25T09:19:58.000000Z", "holderIdentity": "lanyard-operator-0"}
    kubectl.on("leases.coordination.k8s.io", out=listed({"metadata": {"name": "lanyard-operator"}, "spec": lease}))
    page = "https://lanyard.example/connect/sales/crm"
    kubectl.on(
        "get",
        "connections.lanyard.dev",
        "--namespace=sales",
        out=listed(connection("crm", status={"authorizationURL": page})),
    )
    kubectl.on("auth", "can-i", out="yes\n")
    return kubectl


def _finished(err: str) -> Any:
    from lanyard.entry.plugin.kubectl import Finished

    return Finished(0, "{}", err)


def checked(kubectl: ScriptedKubectl, **more: Any) -> tuple[dict[str, dict[str, Any]], int]:
    found = kubectl.lanyard("check", "-o", "json", date_of=lambda _: DATE.strip().removeprefix("Date: "), **more)
    return {one["about"]: one for one in json.loads(found.stdout)}, found.exit_code


def test_a_healthy_cluster_passes_every_check(healthy: ScriptedKubectl) -> None:
    found, code = checked(healthy)
    assert [one for one in found.values() if one["fine"] is not True] == []
    assert code == 0
    assert found["clock"]["says"] == "agrees with the API server within 2 s"
    assert found["gateway"]["says"] == "answers at https://lanyard.example"


def without_kind(kubectl: ScriptedKubectl) -> None:
    said = 'Error from server (NotFound): customresourcedefinitions "connections.lanyard.dev" not found'
    kubectl.on("customresourcedefinitions.apiextensions.k8s.io", "connections.lanyard.dev", err=said)


def with_a_kind_that_is_not_established(kubectl: ScriptedKubectl) -> None:
    waiting = crd(KINDS[0]) | {"status": {"conditions": [{"type": "Established", "status": "False"}]}}
    kubectl.on("customresourcedefinitions.apiextensions.k8s.io", "connections.lanyard.dev", out=waiting)


def with_a_kind_of_another_version(kubectl: ScriptedKubectl) -> None:
    text = json.dumps(crd(KINDS[0])).replace("v1alpha1", "v2").replace('"status": {"default"', '"x": {"default"')
    made = json.loads(text) | {"status": {"conditions": [{"type": "Established", "status": "True"}]}}
    kubectl.on("customresourcedefinitions.apiextensions.k8s.io", "connections.lanyard.dev", out=made)


def with_an_old_lease(kubectl: ScriptedKubectl) -> None:
    spec = {"renewTime": "2026-11-25T09:00:00Z", "holderIdentity": "x"}
    kubectl.on("leases.coordination.k8s.io", out=listed({"metadata": {"name": "lanyard"}, "spec": spec}))


def with_another_clock(kubectl: ScriptedKubectl) -> None:
    kubectl.then("get", "--raw", "/version", answers=[_finished("Date: Wed, 25 Nov 2026 09:22:02 GMT\n")])


def without_pods(kubectl: ScriptedKubectl) -> None:
    kubectl.on("deployments.apps", out=listed({"metadata": {"name": "lanyard-operator"}, "status": {}}))


@pytest.mark.parametrize(
    ("harm", "about"),
    [
        (without_kind, "connections.lanyard.dev"),
        (with_a_kind_that_is_not_established, "connections.lanyard.dev"),
        (with_a_kind_of_another_version, "connections.lanyard.dev"),
        (with_an_old_lease, "lease"),
        (with_another_clock, "clock"),
        (without_pods, "operator"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value,
)
def test_each_thing_that_is_wrong_is_found_with_a_next_step(healthy: ScriptedKubectl, harm: Any, about: str) -> None:
    harm(healthy)
    found, code = checked(healthy)
    assert [one["about"] for one in found.values() if one["fine"] is False] == [about]
    assert found[about]["step"]
    assert code == 1


def test_a_schema_of_another_release_is_noticed_and_fails_nothing(healthy: ScriptedKubectl) -> None:
    made = crd(KINDS[0]) | {"status": {"conditions": [{"type": "Established", "status": "True"}]}}
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop("suspend")
    healthy.on("customresourcedefinitions.apiextensions.k8s.io", "connections.lanyard.dev", out=made)
    found, code = checked(healthy)
    assert found["connections.lanyard.dev"]["fine"] is None
    assert "another schema" in found["connections.lanyard.dev"]["says"]
    assert code == 0


def test_a_gateway_that_does_not_answer_is_found(healthy: ScriptedKubectl) -> None:
    def silent(_: str) -> str:
        raise OSError("timed out")

    found = healthy.lanyard("check", date_of=silent)
    assert "✗ gateway              https://lanyard.example does not answer: timed out\n" in found.stdout
    assert found.exit_code == 1


def test_without_an_api_server_the_check_ends_there(kubectl: ScriptedKubectl) -> None:
    kubectl.on("version", err="The connection to the server x was refused")
    found = kubectl.lanyard("check")
    assert found.exit_code == 1
    assert found.stdout.startswith("✗ API server")
    assert len(found.stdout.splitlines()) == 2


def test_what_a_person_may_not_see_fails_no_check(healthy: ScriptedKubectl) -> None:
    for kind in ("deployments.apps", "leases.coordination.k8s.io", "customresourcedefinitions.apiextensions.k8s.io"):
        healthy.on(kind, err=forbidden(kind, ""))
    healthy.on("get", "--raw", "/apis/lanyard.dev/v1alpha1", out={"resources": [{"name": one.plural} for one in KINDS]})
    healthy.on("auth", "can-i", out="no\n", code=1)
    found, code = checked(healthy)
    assert code == 0
    assert found["operator"]["says"] == "you may not see it"
    assert found["you may not"]["fine"] is None


@pytest.mark.parametrize(
    ("apart", "says"),
    [
        (timedelta(minutes=-6), "09:14 UTC (6 min ago)"),
        (timedelta(hours=2), "11:20 UTC (in 2 h)"),
        (timedelta(days=-3), "2026-11-22 09:20 UTC (3 d ago)"),
        (timedelta(seconds=5), "09:20 UTC (in 5 s)"),
    ],
    ids=["minutes", "hours", "days", "seconds"],
)
def test_times_are_said_as_people_say_them(apart: timedelta, says: str) -> None:
    assert told((NOW + apart).isoformat(), NOW) == says
