"""`links`: Connections of other namespaces that this one may link to."""

import click

from lanyard.api.meta import NamespaceGrant
from lanyard.entry.plugin import screen
from lanyard.entry.plugin.conditions import KIND, conditions
from lanyard.entry.plugin.kubectl import Kubectl, KubectlError, Object, Refusal
from lanyard.entry.plugin.options import output, where
from lanyard.entry.plugin.screen import Glyph


@click.command()
@where()
@output("json", "yaml", "name")
def links(kubectl: Kubectl, output: str | None) -> None:
    """List what a Connection of this namespace may name in spec.linkTo: those that allow the namespace."""
    namespace = kubectl.namespace()
    labels = _labels(kubectl, namespace)
    found = [one for one in kubectl.every(KIND, everywhere=True) if _allows(one, namespace, labels)]
    rows = [_row(one) for one in found]
    if output == "name":
        for row in rows:
            screen.plain(f"{row['namespace']}/{row['name']}")
    elif output is not None:
        screen.data(rows, output)
    elif not rows:
        screen.note(Glyph.WAITING, f"No Connection of another namespace allows {namespace}.")
    else:
        columns = ["namespace", "name", "ready", "connector", "account"]
        screen.table(columns, [[row[column] or "-" for column in columns] for row in rows])


def _allows(one: Object, namespace: str, labels: dict[str, str] | None) -> bool:
    spec, metadata = one.get("spec", {}), one["metadata"]
    if metadata["namespace"] == namespace or "linkTo" in spec or "allowedNamespaces" not in spec:
        return False
    return NamespaceGrant.model_validate(spec["allowedNamespaces"]).admits(namespace, labels)


def _row(one: Object) -> dict[str, str]:
    ready = conditions(one).get("Ready")
    return {
        "namespace": one["metadata"]["namespace"],
        "name": one["metadata"]["name"],
        "ready": ready.status if ready else "Unknown",
        "connector": one.get("spec", {}).get("connector", ""),
        "account": one.get("status", {}).get("account", ""),
    }


def _labels(kubectl: Kubectl, namespace: str) -> dict[str, str] | None:
    """None when the person may not read the namespace: then only names admit, and that is said."""
    try:
        return dict(kubectl.get("namespace", namespace)["metadata"].get("labels", {}))
    except KubectlError as error:
        if error.refusal is not Refusal.FORBIDDEN:
            raise
        screen.note(
            Glyph.WAITING, f"the labels of {namespace} may not be read: those that admit it by label are not listed"
        )
        return None
