"""Spans for OpenTelemetry, of the extra `campaigns[otel]`. Its packages are imported only where one of the
variables OTEL_* says where spans go; those variables are OpenTelemetry's own, and its SDK reads them.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from campaigns.domain.tracing import REQUESTS, TRACE_HEADER, UNTRACED, Noted, Span, Tracer, Work
from worker.logs.logger import get_logger
from worker.settings.environment import trace_exporter

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanProcessor

_CLOSE_SECONDS = 3.0  # for the last spans; a collector that is away must not keep a process from ending

log = get_logger("campaigns")


def tracer_for() -> Tracer:
    """What records spans in a process that is about to begin: one that forgets, where no exporter is named.

    Where the exporter is none that we have, or the extra is not installed, that is a warning, and nothing is
    recorded: messages are sent all the same.
    """
    name = trace_exporter()
    if name is None:
        return UNTRACED
    try:
        return SdkTracer(_processor(name))
    except ImportError:
        log.warning("no traces: OTEL_* names an exporter, and the extra campaigns[otel] is not installed")
    except ValueError as error:
        log.warning(f"no traces: {error}")
    return UNTRACED


def _processor(name: str) -> "SpanProcessor":
    """What takes spans to the exporter of that name. Raises ImportError; ValueError, as a sentence."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    if name == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter())
    if name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return BatchSpanProcessor(OTLPSpanExporter())
    raise ValueError("OTEL_TRACES_EXPORTER is otlp (by http/protobuf), console or none")


class _SdkSpan(Span):
    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    def note(self, attributes: Noted) -> None:
        self._span.set_attributes(
            {name.value: amount for name, amount in attributes.items() if amount is not None}
        )

    def fail(self, why: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, why))


def _links(trace_parent: str | None) -> "list[trace.Link]":
    if trace_parent is None:
        return []
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carried = TraceContextTextMapPropagator().extract({TRACE_HEADER: trace_parent}, Context())
    return [trace.Link(trace.get_current_span(carried).get_span_context())]


class SdkTracer(Tracer):
    """Records spans with OpenTelemetry's SDK, by a provider of its own: nothing global is set, so that a
    process that was instrumented from outside keeps what it has.

    Takes what the spans are handed to as they end. Raises ImportError where the extra is not installed.
    """

    is_on = True

    def __init__(self, processor: "SpanProcessor") -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider

        release = version("campaigns")
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes before what we call ourselves.
        said = OTELResourceDetector().detect().attributes
        resource = Resource.create({"service.name": "campaigns", "service.version": release, **said})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # `close` does
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("campaigns", release)

    @contextmanager
    def span(self, work: Work, attributes: Noted, *, link: str | None = None) -> Iterator[Span]:
        """The span of a piece of work, for as long as the block lasts."""
        from opentelemetry.trace import SpanKind

        # An exception is never recorded whole: its text may hold what a provider said.
        with self._tracer.start_as_current_span(
            f"campaigns.{work}",
            kind=SpanKind.CLIENT if work in REQUESTS else SpanKind.INTERNAL,
            links=_links(link),
            record_exception=False,
            set_status_on_exception=False,
        ) as recorded:
            span = _SdkSpan(recorded)
            span.note(attributes)
            try:
                yield span
            except BaseException as error:
                span.fail(type(error).__name__)
                raise

    async def close(self) -> None:
        """Send the last spans, in at most three seconds; none is recorded after it."""
        # A thread of its own, that nothing waits for: asyncio would wait for its own at the loop's end.
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=end, name="campaigns-traces-end", daemon=True).start()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await ended.wait()
        except TimeoutError:
            log.warning("the last spans were not taken by the exporter in time")
