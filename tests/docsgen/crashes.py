"""`docs/crash-safety.md`: what a crash at each step costs, from the table that the kill test proves."""

from docsgen.markdown import head, table
from support.checkpoint import Moment
from support.crash_rows import ABOUT, ROWS, Cell, Flow

INTRODUCTION = """
# Crash safety

Lanyard can be killed at any instruction. What a person has granted is kept wherever the provider makes that possible,
and where it does not, the status of the Connection says so and names the one thing left to do.

## Why a refresh can lose a grant

Many providers take a refresh token only once. They answer with the next one, and a token that comes a second time
looks to them like a thief: they end the grant. Between the moment a request leaves and the moment its answer is stored
lies a gap that no client can close. Lanyard keeps it short and always knows when it was in it.

## How that gap is kept

[A refresh](refresh.md) of a grant whose refresh tokens rotate takes five steps, and each leaves behind what the next
process needs to know:

1. **Intent.** Before anything is sent, the state Secret says: *generation 7 is about to be spent*. The write is made on
   the version that was read, so of two operators one gets to send. Where the API server does not take it, nothing is
   sent and nothing is lost.
2. **Request.** One, with one deadline. It is never repeated by itself.
3. **Grant.** What came back is stored before anything else is done with it. That write is repeated until it succeeds; a
   grant that was received beats any intent.
4. **Workload Secret** and 5. **status.** Both are made from the stored grant and can be made again at any time, so a
   crash here costs no second request.

A process that starts and finds an intent knows that the refresh token may have been spent. Until the time that the
intent names, an answer may still be under way, and nobody acts; then the connector's `rotation.mode` decides. With
`fixed` no intent is needed: sending twice does no harm.

A **consent** follows the same rule. Its record is claimed before the code is spent, the grant is stored before anybody
is told, and an older grant stays in place until the new one is stored. A code works once: when its exchange is cut
short, a person has to click again. What the provider gave for it is held by nobody then; it ends as the provider ends
unused grants, or when somebody removes the app's access there.

A **deletion** revokes the grant, then forgets it, then lets the object go. Each of these may be done twice. For a
provider that is away it waits a minute at most.

A **token copy** for the gateway is written after the Secret and says which version of it it was made from. One that is
missing or older is made again from the Secret. Where no Secret is published, the copy takes its place.

## What happens at each step

Each cell was made to happen by a test. It kills the operator with SIGKILL from outside, while a proxy holds the request
(*killed before*) or its answer (*killed after*); or the proxy throws the answer away (*answer lost*) or answers 503 in
place of the server (*refused*). The test fails on a request that changes something and has no row. Where a cell says
*from the stored grant* or *from memory*, the provider is not asked a second time.

**Bold cells need a person.**

"""


def page(_: str) -> str:
    return head("tests/support/crash_rows.py") + INTRODUCTION.lstrip("\n") + "\n".join(_section(flow) for flow in Flow)


def _section(flow: Flow) -> str:
    columns = ["Step", "Request", *(moment.value for moment in Moment)]
    rows = ([row.step, row.request, *(_said(row.cells[moment]) for moment in Moment)] for row in ROWS[flow])
    return f"### {flow.value}\n\n{ABOUT[flow]}\n\n" + table(columns, rows)


def _said(cell: Cell) -> str:
    if cell.human is None:
        return cell.says
    return f"**{cell.says}: [`{cell.human.value}`](reasons.md#{cell.human.value.lower()})**"
