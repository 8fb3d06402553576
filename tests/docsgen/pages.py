"""The registry. A renderer takes the committed text, so a page can keep the parts that people write."""

from collections.abc import Callable
from pathlib import Path

from docsgen import crashes, kinds, plugin, reasons, rest, rights, settings, telemetry
from lanyard.api.openapi import rest_document_text
from lanyard.api.openapi_oauth import oauth_document_text
from lanyard.connectors.loader import load_catalogue
from lanyard.connectors.page import connectors_page

ROOT = Path(__file__).parents[2]

Render = Callable[[str], str]

PAGES: dict[str, Render] = {
    "docs/connectors.md": lambda _: connectors_page(load_catalogue()),
    "docs/crash-safety.md": crashes.page,
    "docs/reasons.md": reasons.page,
    "docs/reference/audit.md": telemetry.audit_page,
    "docs/reference/kinds.md": kinds.page,
    "docs/reference/metrics.md": telemetry.metrics_page,
    "docs/reference/openapi-rest.json": lambda _: rest_document_text(),
    "docs/reference/openapi-oauth.json": lambda _: oauth_document_text(),
    "docs/reference/plugin.md": plugin.page,
    "docs/reference/rest-api.md": rest.page,
    "docs/reference/settings.md": settings.page,
    "docs/security.md": rights.page,
}


def committed(path: str) -> str:
    """The text as it is, empty for a page that is not there yet."""
    file = ROOT / path
    return file.read_text() if file.exists() else ""
