"""How a consent by device code is asked for: when, how often, and what each answer leads to."""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError, ProviderError, SteppedBackError
from lanyard.flows.authorize_device import LOOK_AGAIN, DeviceAuthorizer
from lanyard.flows.keys import Key, What
from lanyard.flows.token_endpoint import Errand, Waiting
from lanyard.flows.world import Record
from lanyard.oauth.device import DeviceCode, Poll
from lanyard.oauth.responses import Token
from lanyard.reasons import Reason
from lanyard.rules.consent import Consent, Device, Outcome, Phase
from lanyard.rules.grants import Grant
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import ConsentRecord, record_name
from support.plans import connection, device_plan
from support.stored import grant

pytestmark = pytest.mark.spec("C5")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HASH = "a" * 40
KEY = Key(What.CONSENT, "", record_name(HASH))
CRM = Key(What.CONNECTION, "sales", "crm")
TOKEN = Token(Sensitive("t"), "Bearer", None, NOW, None, {}, None)
GONE = KubernetesError(KubernetesStatus(404))


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def requested(**changes: Any) -> ConsentRecord:
    consent = Consent(
        connector="acme", connector_digest="d", client_id="client", redirect_uri="", scopes=(), state_hash="",
        code_verifier=None, spec_generation=1, approved_by="ada", started_at=NOW,
        device=Device(ends_at=NOW + seconds(600)),
    )  # fmt: skip
    record = ConsentRecord(KEY.name, "s", "1", "uid", "sales/crm", Phase.REQUESTED, consent, None)
    return replace(record, **changes)


def shown(*, interval: float = 5, ends_in: float = 600) -> ConsentRecord:
    device = Device(NOW + seconds(ends_in), Sensitive("dc"), "WDJB", "https://x.example/d", seconds(interval))
    consent = requested().consent
    assert consent is not None
    return requested(phase=Phase.SHOWN, consent=replace(consent, device=device))


def failure(reason: Reason, **facts: Any) -> ProviderError:
    return ProviderError(reason, host="login.example.com", status=503, **facts)


@dataclass
class Stage:
    """Everything around the polling, played: what a poll answers comes from `answers`, in turn."""

    answers: list[Poll | Token | Exception] = field(default_factory=list)
    code: DeviceCode | Exception | None = None
    approval: str | None = f"{HASH}.ada"
    approved_at: datetime = NOW
    waiting: Waiting | None = None
    refused: LanyardError | None = None
    lost: KubernetesError | None = None
    tells: bool = True
    """Whether the record takes how it ended."""
    now: datetime = NOW
    polls: list[datetime] = field(default_factory=list)
    written: list[ConsentRecord] = field(default_factory=list)
    kept: list[Token] = field(default_factory=list)
    ended: list[Reason] = field(default_factory=list)
    finished: list[Outcome] = field(default_factory=list)
    next_at: datetime | None = None
    stored: Grant | None = None
    inside: int = 0

    def __post_init__(self) -> None:
        self.record = Record(CRM, "uid", 1, b"{}", b"{}")
        self.errand = Errand(self.record, connection(clientId="client", method="deviceCode"), device_plan())
        around: Any = self
        self.authorizer = DeviceAuthorizer(
            kube=around, consents=around, settlement=around, finalizers=around, endpoint=around,
            clock=lambda: self.now,
        )  # fmt: skip

    async def look(self, held: ConsentRecord, *, after: float = 0) -> datetime | None:
        """One look, so many seconds later; returns when the next one is due."""
        self.now += seconds(after)
        queue: Any = self
        await self.authorizer.reconcile(KEY, held, queue)
        assert self.inside == 0
        return self.next_at

    # the queue
    def at(self, key: Key, when: datetime | None) -> None:
        assert key == KEY
        self.next_at = when

    # the API server
    async def dated_metadata(self, _path: str) -> tuple[dict[str, Any], datetime]:
        if self.approval is None:
            raise GONE
        owned = {"f:metadata": {"f:annotations": {"f:lanyard.dev/consent": {}}}}
        entry = {"time": self.approved_at.isoformat(), "fieldsV1": owned}
        annotations = {"lanyard.dev/consent": self.approval}
        return {"uid": "uid", "annotations": annotations, "managedFields": [entry]}, self.now

    # the records, and what both ways to consent share
    async def show(self, held: ConsentRecord, consent: Consent, *, now: datetime) -> ConsentRecord:
        assert now == self.now
        if self.lost is not None:
            raise self.lost
        self.written.append(replace(held, phase=Phase.SHOWN, consent=consent))
        return self.written[-1]

    def record_of(self, _held: ConsentRecord) -> Record:
        return self.record

    async def stored_of(self, held: ConsentRecord) -> Grant | None:
        return self.stored if self.stored is not None and self.stored.consent == held.name else None

    def agreed(self, _held: ConsentRecord, _consent: Consent) -> Errand:
        if self.refused is not None:
            raise self.refused
        return self.errand

    def spending(self, _held: ConsentRecord) -> Any:
        return nullcontext()

    async def keep(self, _held: Any, _consent: Any, _errand: Any, _resolved: Any, token: Token) -> bool:
        if isinstance(self.code, SteppedBackError):
            raise self.code
        self.kept.append(token)
        return self.tells

    async def end(self, _held: ConsentRecord, error: LanyardError) -> bool:
        self.ended.append(error.reason)
        return self.tells

    async def finish(self, _held: ConsentRecord, outcome: Outcome) -> bool:
        self.finished.append(outcome)
        return self.tells

    # the provider and the finalizer
    def enter(self, _errand: Errand, key: Key) -> Waiting | None:
        assert key == KEY
        self.inside += self.waiting is None
        return self.waiting

    def leave(self, _errand: Errand) -> None:
        self.inside -= 1

    async def credentials(self, _errand: Errand) -> dict[str, Any]:
        return {}

    async def add(self, record: Record) -> None:
        assert record is self.record

    async def device_code(self, _errand: Errand, _resolved: Any) -> DeviceCode:
        if isinstance(self.code, DeviceCode):
            return self.code
        assert self.code is not None
        raise self.code

    async def poll(self, _errand: Errand, _resolved: Any, _grant: Any) -> Token | Poll:
        self.polls.append(self.now)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def fetched(*, lives: float = 300, interval: float = 7) -> DeviceCode:
    page = "https://login.example.com/device"
    return DeviceCode(Sensitive("dc"), "WDJB-MJHT", page, NOW + seconds(lives), seconds(interval))


@pytest.mark.parametrize(
    ("lives", "ends_in"),
    [pytest.param(300, 300, id="the code ends first"), pytest.param(900, 600, id="the approval ends first")],
)
async def test_a_code_is_fetched_once_and_ends_with_what_ends_first(lives: float, ends_in: float) -> None:
    stage = Stage(code=fetched(lives=lives))
    assert await stage.look(requested()) == NOW + seconds(7)
    (written,) = stage.written
    assert written.consent is not None
    device = written.consent.device
    assert device == Device(
        NOW + seconds(ends_in), Sensitive("dc"), "WDJB-MJHT", "https://login.example.com/device", seconds(7)
    )
    assert await stage.look(written, after=6.9) == NOW + seconds(7)
    assert stage.polls == []


async def test_polls_keep_the_interval_and_every_slow_down_makes_it_longer() -> None:
    stage = Stage(code=fetched(interval=5), answers=[Poll.PENDING, Poll.SLOW_DOWN, Poll.PENDING, TOKEN])
    due = await stage.look(requested())
    held = stage.written[0]
    while due is not None:
        stage.now = due
        due = await stage.look(held)
    assert [(at - NOW).total_seconds() for at in stage.polls] == [5, 10, 20, 30]
    assert stage.kept == [TOKEN]


async def test_a_wake_between_two_polls_asks_nobody() -> None:
    stage = Stage(answers=[Poll.PENDING])
    await stage.look(shown())
    await stage.look(shown(), after=5)
    assert await stage.look(shown(), after=2) == NOW + seconds(10)
    assert len(stage.polls) == 1


async def test_a_code_that_another_process_asked_for_is_polled_after_a_whole_interval() -> None:
    stage = Stage(answers=[TOKEN])
    assert await stage.look(shown(interval=9)) == NOW + seconds(9)
    assert await stage.look(shown(interval=9), after=9) is None
    assert stage.kept == [TOKEN]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Poll.DENIED, Reason.CONSENT_DENIED, id="declined"),
        pytest.param(Poll.EXPIRED, Reason.AUTHORIZATION_EXPIRED, id="expired"),
        pytest.param(failure(Reason.CLIENT_REJECTED), Reason.CLIENT_REJECTED, id="a client that is refused"),
        pytest.param(failure(Reason.PROVIDER_ANSWER_INVALID), Reason.PROVIDER_ANSWER_INVALID, id="nonsense"),
    ],
)
@pytest.mark.spec("C11")
async def test_an_answer_that_decides_ends_the_consent(answer: Poll | Exception, expected: Reason) -> None:
    stage = Stage(answers=[answer])
    await stage.look(shown())
    assert await stage.look(shown(), after=5) is None
    assert stage.ended == [expected]


@pytest.mark.spec("C11")
async def test_weather_doubles_the_interval_and_ends_nothing() -> None:
    stage = Stage(answers=[failure(Reason.PROVIDER_UNAVAILABLE), failure(Reason.PROVIDER_TIMED_OUT), TOKEN])
    await stage.look(shown())
    assert await stage.look(shown(), after=5) == NOW + seconds(15)
    assert await stage.look(shown(), after=10) == NOW + seconds(35)
    assert await stage.look(shown(), after=20) is None
    assert (stage.kept, stage.ended) == ([TOKEN], [])


@pytest.mark.spec("C11")
async def test_a_provider_that_names_a_time_is_given_it() -> None:
    stage = Stage(answers=[failure(Reason.PROVIDER_THROTTLED, retry_after=45)])
    await stage.look(shown())
    assert await stage.look(shown(), after=5) == NOW + seconds(50)


@pytest.mark.spec("C11")
async def test_a_device_endpoint_that_is_away_is_asked_again() -> None:
    stage = Stage(code=failure(Reason.PROVIDER_UNAVAILABLE))
    assert await stage.look(requested()) == NOW + seconds(10)
    stage.code = fetched()
    await stage.look(requested(), after=10)
    assert (len(stage.written), stage.ended) == (1, [])


REVOKED = failure(Reason.GRANT_REVOKED)
UNANSWERED = failure(Reason.PROVIDER_TIMED_OUT, unanswered=True)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([REVOKED], Reason.AUTHORIZATION_LOST, id="the first poll after a restart"),
        pytest.param([Poll.PENDING, REVOKED], Reason.GRANT_REVOKED, id="after an answer that it was pending"),
        pytest.param([Poll.PENDING, UNANSWERED, REVOKED], Reason.AUTHORIZATION_LOST, id="after no answer"),
        pytest.param(
            [Poll.PENDING, UNANSWERED, Poll.PENDING, REVOKED], Reason.GRANT_REVOKED, id="after no answer, then pending"
        ),
    ],
)
@pytest.mark.spec("C+1")
async def test_a_refused_code_is_lost_only_where_a_token_may_have_been_on_its_way(
    answers: list[Poll | Token | Exception], expected: Reason
) -> None:
    stage = Stage(answers=answers)
    due = await stage.look(shown())
    while due is not None:
        stage.now = due
        due = await stage.look(shown())
    assert stage.ended == [expected]


@pytest.mark.spec("C+1")
async def test_a_code_whose_grant_is_stored_is_not_polled_again() -> None:
    stage = Stage(answers=[TOKEN], stored=grant(account="bot", consent=KEY.name))
    assert await stage.look(shown()) is None
    assert (stage.polls, stage.finished) == ([], [Outcome("Authorized", "bot")])


async def test_a_grant_of_another_consent_leaves_one_alone_that_has_no_code_yet() -> None:
    stage = Stage(code=fetched(), stored=grant())
    await stage.look(requested(), after=2)
    assert (len(stage.written), stage.finished) == (1, [])


@pytest.mark.spec("C+1")
async def test_a_code_that_was_written_though_nobody_heard_of_it_is_polled_at_its_pace() -> None:
    stage = Stage(code=fetched(interval=7), lost=KubernetesError(KubernetesStatus(500)), answers=[Poll.PENDING])
    with pytest.raises(KubernetesError):
        await stage.look(requested())
    assert await stage.look(shown(interval=7), after=1) == NOW + seconds(7)
    assert stage.polls == []


@pytest.mark.parametrize(
    "approval",
    [
        pytest.param("", id="taken back"),
        pytest.param(f"{'b' * 40}.ada", id="given to another browser"),
        pytest.param(f"{HASH}.eve", id="by somebody else"),
        pytest.param(None, id="gone with its Connection"),
    ],
)
@pytest.mark.spec("C4")
async def test_without_its_approval_nobody_is_asked(approval: str | None) -> None:
    stage = Stage(answers=[TOKEN], approval=approval)
    await stage.look(shown())
    assert await stage.look(shown(), after=5) is None
    assert (stage.polls, stage.ended) == ([], [Reason.AUTHORIZATION_OUTDATED])


@pytest.mark.spec("C4")
async def test_with_an_old_approval_nobody_is_asked() -> None:
    stage = Stage(answers=[TOKEN], approved_at=NOW - timedelta(minutes=11))
    await stage.look(shown())
    assert await stage.look(shown(), after=5) is None
    assert (stage.polls, stage.ended) == ([], [Reason.AUTHORIZATION_EXPIRED])


@pytest.mark.spec("C4")
async def test_a_record_that_is_made_once_more_asks_for_no_second_code() -> None:
    stage = Stage(code=fetched(), stored=grant(account="bot", consent=KEY.name))
    assert await stage.look(requested()) is None
    assert (stage.written, stage.finished) == ([], [Outcome("Authorized", "bot")])


@pytest.mark.spec("C11")
async def test_a_consent_ends_at_its_time_and_not_later() -> None:
    stage = Stage(answers=[Poll.PENDING])
    await stage.look(shown(ends_in=8))
    assert await stage.look(shown(ends_in=8), after=5) == NOW + seconds(8)
    assert await stage.look(shown(ends_in=8), after=3) is None
    assert (len(stage.polls), stage.ended) == (1, [Reason.AUTHORIZATION_EXPIRED])


@pytest.mark.spec("C+2")
@pytest.mark.parametrize("answer", [TOKEN, Poll.DENIED], ids=["a token", "a refusal"])
async def test_a_record_that_could_not_be_told_how_it_ended_is_looked_at_again(answer: Token | Poll) -> None:
    stage = Stage(answers=[answer], tells=False)
    await stage.look(shown())
    assert await stage.look(shown(), after=5) == NOW + seconds(5) + LOOK_AGAIN
    stage.tells = True
    if answer is TOKEN:
        stage.stored = grant(account="bot", consent=KEY.name)
        await stage.look(shown(), after=1)
        assert (len(stage.polls), stage.finished) == (1, [Outcome("Authorized", "bot")])


async def test_a_connection_that_changed_ends_the_consent() -> None:
    stage = Stage(refused=LanyardError(Reason.AUTHORIZATION_OUTDATED))
    assert await stage.look(shown()) is None
    assert stage.ended == [Reason.AUTHORIZATION_OUTDATED]


@pytest.mark.parametrize(
    ("waiting", "due"),
    [
        pytest.param(Waiting(NOW + seconds(20)), 20, id="until a time"),
        pytest.param(Waiting(None), 600, id="until it is called"),
    ],
)
@pytest.mark.spec("C7")
async def test_a_host_that_takes_no_request_is_waited_for(waiting: Waiting, due: float) -> None:
    stage = Stage(answers=[TOKEN], waiting=waiting)
    await stage.look(shown())
    assert await stage.look(shown(), after=5) == NOW + seconds(due)
    assert stage.polls == []


@pytest.mark.spec("C+1")
async def test_who_loses_the_lease_with_a_token_in_hand_says_that_it_is_lost() -> None:
    stage = Stage(answers=[TOKEN], code=SteppedBackError())
    await stage.look(shown())
    with pytest.raises(SteppedBackError):
        await stage.look(shown(), after=5)
    assert stage.ended == [Reason.AUTHORIZATION_LOST]


@pytest.mark.parametrize("interval", [0.0, -5.0, 1e13], ids=["none", "negative", "of ages"])
async def test_an_interval_that_no_provider_gave_leads_to_no_flood_and_to_no_fault(interval: float) -> None:
    """Whoever writes in the shared namespace with its ring could name any."""
    stage = Stage()
    due = await stage.look(shown(interval=interval))
    assert due is not None
    assert seconds(5) <= due - NOW <= seconds(60)
