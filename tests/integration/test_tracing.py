"""A real hand-over and a real poll, as traces show them: what links to what, and nothing secret."""

from collections.abc import Sequence
from dataclasses import replace

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from campaigns import batching, receipts, sending
from campaigns.domain.metrics import UNMETERED
from campaigns.domain.policy import Account
from campaigns.domain.provider import Answers, OutboundMessage, Outcome, WaitForPace
from campaigns.domain.tracing import Work
from campaigns.providers.wire import Answered, Wire
from campaigns.store.session import Database
from tests.conftest import MakeDesk, no_wait
from tests.contract.providers.wire_hand_over import hand_over
from tests.contract.providers.wire_server import WireServer, answer, cut, wire_server
from tests.integration.rows import query
from tests.river import phones, submit
from tests.stub import Stub
from worker.tracing import SdkTracer

_TRACE, _SPAN = "a" * 32, "b" * 16


class Wired(Stub):
    """A stub whose requests go over a wire, with a number and a key in each URL."""

    def __init__(self, wire: Wire, server: WireServer) -> None:
        super().__init__("main", max_recipients_per_request=1)
        self._wire, self._server = wire, server

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        assert isinstance(await hand_over(self._wire, self._server), Answered)
        return await super().hand_over(request, sender_id, leave_by)

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        await self._wire.ask(f"{self._server.url}/ask?api_key=secret", timeout_seconds=5, once=True)
        return await super().ask(provider_message_ids, wait_for_pace)


async def test_spans_of_a_send_link_to_what_asked_for_it(database: Database, make_desk: MakeDesk) -> None:
    spans, whole = InMemorySpanExporter(), Wire()
    tracer = SdkTracer(SimpleSpanProcessor(spans))
    async with wire_server() as server:
        server.script.extend([answer(b"ok"), answer(b"ok"), cut()])
        account = Account(
            Wired(whole.of("seven", UNMETERED, tracer), server), no_wait, 1000, provider_name="seven"
        )
        desk = replace(make_desk(), accounts={"main": account}, tracer=tracer)
        await submit(database, phones(1), text="SECRETWORD", trace_parent=f"00-{_TRACE}-{_SPAN}-01")
        await submit(database, phones(1, first=1), text="SECRETWORD of nobody's trace")
        for dealt in await batching.deal_sending(database, desk):
            await sending.send_batch(database, desk, dealt)
        polls = await batching.deal_polling(database, desk)
        for dealt in sorted(polls, key=lambda each: each.batch_id)[:1]:
            await receipts.poll_batch(database, desk, dealt)
        ids = await query(database, "SELECT id::text FROM campaign")
    await whole.close()
    await tracer.close()

    ended = spans.get_finished_spans()
    names = [span.name.removeprefix("campaigns.") for span in ended]
    assert names == ["hand_over", "send_batch", "hand_over", "send_batch", "question", "poll_batch"]
    request, batch, _, unasked, question, poll = ended

    # A request is within its batch; the batch is a trace of its own, linked to the one that asked.
    for inner, outer in ((request, batch), (question, poll)):
        assert inner.parent is not None
        assert outer.context is not None
        assert inner.parent.span_id == outer.context.span_id
        assert (outer.parent, inner.kind) == (None, SpanKind.CLIENT)
        ((link, *others),) = [outer.links]
        assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == (_TRACE, _SPAN)
        assert not others
    assert not unasked.links

    assert request.attributes == {
        "campaigns.provider": "seven", "campaigns.result": "2xx", "http.response.status_code": 200,
    }  # fmt: skip
    assert batch.attributes == {
        "campaigns.account": "main", "campaigns.provider": "seven", "campaigns.batch.state": "tracking",
        "campaigns.message.count": 1,
    }  # fmt: skip
    assert question.attributes == {"campaigns.provider": "seven", "campaigns.result": "unseen"}
    assert (question.status.is_ok, question.status.description) == (False, "unseen")
    assert poll.attributes is not None
    assert poll.attributes["campaigns.batch.state"] == "done"

    told = "".join(span.to_json() for span in ended)
    secrets = ["SECRETWORD", "secret", "3706", "127.0.0.1", "paid", *(row["id"] for row in ids)]
    assert [each for each in secrets if each in told] == []


async def test_a_span_says_which_error_ended_it_and_not_its_words() -> None:
    spans = InMemorySpanExporter()
    tracer = SdkTracer(SimpleSpanProcessor(spans))
    try:
        with tracer.span(Work.QUESTION, {}):
            raise ValueError("+37061200001")
    except ValueError:
        await tracer.close()
    (span,) = spans.get_finished_spans()
    assert (span.status.description, span.events) == ("ValueError", ())
