"""What kubectl says, and what a person is told: message, cause, next step, exit code."""

import pytest

from lanyard.entry.plugin.faults import PluginError
from lanyard.entry.plugin.kubectl import Finished, Kubectl, KubectlError, Refusal, Target
from lanyard.entry.plugin.main import name_of
from support.scripted_kubectl import ScriptedKubectl

pytestmark = pytest.mark.spec("K7")

# Recorded from kubectl 1.37.2.
SAID = {
    "a thing that is not there": (
        'Error from server (NotFound): connections.lanyard.dev "crm" not found',
        Refusal.NOT_FOUND,
    ),
    "a right that is missing": (
        'Error from server (Forbidden): connections.lanyard.dev "crm" is forbidden: User "ann" cannot get resource',
        Refusal.FORBIDDEN,
    ),
    "a cluster without Lanyard": (
        'error: the server doesn\'t have a resource type "connections"',
        Refusal.NO_KIND,
    ),
    "a server that is down": (
        "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
        Refusal.UNREACHABLE,
    ),
    "a login that has ended": ("error: You must be logged in to the server (Unauthorized)", Refusal.LOGIN),
    "a context that is not there": ('error: context "nope" does not exist', Refusal.CONFIGURATION),
    "a kubeconfig that is not there": ("error: stat /nope: no such file or directory", Refusal.CONFIGURATION),
    "anything else": ("error: something new", Refusal.OTHER),
}


@pytest.mark.parametrize(("said", "refusal"), SAID.values(), ids=SAID.keys())
def test_each_failure_of_kubectl_has_a_cause_and_a_next_step(said: str, refusal: Refusal) -> None:
    kubectl = Kubectl(Target(), lambda _: Finished(1, "", f"E1125 noise\n{said}\n"))
    with pytest.raises(KubectlError) as raised:
        kubectl.get("connections.lanyard.dev", "crm", "sales")
    assert raised.value.refusal is refusal
    assert raised.value.cause == said
    assert raised.value.step
    assert raised.value.exit_code == 1


def test_where_it_looks_is_said_in_kubectls_own_words() -> None:
    scripted = ScriptedKubectl()
    scripted.on("get", out={"items": []})
    kubectl = Kubectl(Target(context="prod", kubeconfig="/k", namespace="sales"), scripted)
    kubectl.every("connections.lanyard.dev", kubectl.namespace())
    assert scripted.asked == [
        ["--kubeconfig=/k", "--context=prod", "get", "connections.lanyard.dev", "--namespace=sales", "-o", "json"]
    ]


def test_the_namespace_is_the_contexts_and_without_one_default() -> None:
    scripted = ScriptedKubectl()
    assert Kubectl(Target(), scripted).namespace() == "sales"
    scripted.on("config", "view", out="")
    assert Kubectl(Target(), scripted).namespace() == "default"
    scripted.on("config", "view", err="error: current-context must exist in order to minify")
    assert Kubectl(Target(), scripted).namespace() == "default"


def test_a_secret_is_asked_for_by_a_template_that_prints_no_value() -> None:
    scripted = ScriptedKubectl()
    scripted.on("secret", out="type=Opaque\ncreated=x\nversion=7\nlabel=lanyard.dev/readable=true\nkey=a\nkey=b=c\n")
    outline = Kubectl(Target(), scripted).secret_outline("app", "sales")
    assert (outline.keys, outline.labels) == (("a", "b=c"), {"lanyard.dev/readable": "true"})
    template = scripted.asked[0][-1]
    assert template.startswith("go-template=")
    assert "$value" not in template.partition(".data")[2].partition("}}")[2]


def test_something_that_is_no_kubectl_is_found_out() -> None:
    with pytest.raises(PluginError, match="did not answer with an object"):
        Kubectl(Target(), lambda _: Finished(0, "hello")).get("connections.lanyard.dev", "crm")


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/bin/kubectl-lanyard", "kubectl lanyard"),
        ("kubectl-lanyard.exe", "kubectl lanyard"),
        ("lanyard", "lanyard"),
    ],
)
def test_usage_shows_what_a_person_types(program: str, name: str) -> None:
    assert name_of(program) == name


@pytest.mark.parametrize("name", ["--raw=/secrets", "-A", "a/b", "crm,other", "", "Crm", "a" * 300])
def test_a_name_that_kubectl_would_take_for_something_else_is_never_passed_on(name: str) -> None:
    scripted = ScriptedKubectl()
    kubectl = Kubectl(Target(), scripted)
    for ask in (
        lambda: kubectl.get("connections.lanyard.dev", name, "sales"),
        lambda: kubectl.secret_outline(name, "sales"),
        lambda: kubectl.annotate("connections.lanyard.dev", name, "sales", "lanyard.dev/refresh", "x"),
    ):
        with pytest.raises(PluginError) as raised:
            ask()
        assert raised.value.exit_code == 2
    assert scripted.asked == []
