"""The table of problems in `docs/reference/rest-api.md`."""

from docsgen.markdown import between, table
from lanyard.api.dto import REFUSALS


def page(text: str) -> str:
    rows = (
        [str(status.value), f"`{refusal.value}`", detail]
        for refusal, (status, detail) in sorted(REFUSALS.items(), key=lambda one: one[1][0])
    )
    return between(text, "problems", table(["Status", "Reason", "Says"], rows))
