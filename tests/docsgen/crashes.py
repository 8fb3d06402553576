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
lies a gap that no client can close. Lanyard keeps it as short as it can and always knows when it was in it.

## How a grant is refreshed

Each grant lies encrypted in a Secret of the operator's namespace, with a number that goes up by one at each refresh.

1. **Read** that Secret from the API server, never from a cache.
2. **Write down the intent** to spend this number, on the version that was read. If two operators try, the API server
   takes one. If the API server does not take it, nothing has been sent and nothing is lost. A provider whose refresh
   tokens stay the same (`rotation.mode: fixed`) needs no intent: sending twice does no harm there.
3. **Ask** the provider: one request with one deadline. It is never repeated by itself.
4. **Store** what came back before anything else is done with it. That write is repeated until it succeeds; it wins over
   any intent.
5. **Publish** the workload Secret, then the status. Both can be made again from the grant at any time, so a crash here
   costs no second request.

After a crash, an intent that is still there says: this refresh token may have been spent. Until the time that the
intent names, an answer may still be under way, and nobody acts. Then the connector's `rotation` decides:

* `fixed`: ask again.
* `rotatesWithGrace`: ask again while the provider still takes the former token.
* `rotates`, and where nothing is known: the published token is used as long as it lives, and only shortly before its
  expiry the refresh token is sent once more. It may have been spent, and then the grant is gone either way.

A **consent** follows the same rule. The operator claims the record of the consent before it spends the code, stores the
grant before it tells anybody, and leaves an older grant alone until the new one is stored. A code works once: when its
exchange is cut short, a person has to click again.

A **deletion** revokes the grant, then forgets it, then lets the object go. It does not wait for a provider that is away
for more than a minute.

## What happens at each step

Each cell was made to happen by a test. It kills the operator with SIGKILL from outside, while a proxy holds the request
(*killed before*) or its answer (*killed after*); or the proxy throws the answer away (*answer lost*) or answers 503 in
place of the server (*refused*). The test fails on a request that changes something and has no row.

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
