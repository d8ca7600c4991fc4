"""Which span asked for a campaign, and whether spans go anywhere."""

import subprocess
import sys

import pytest

from campaigns.domain.tracing import UNTRACED, trace_parent
from worker.settings.environment import trace_exporter
from worker.tracing import SdkTracer, tracer_for

_TRACE, _SPAN = "a" * 32, "b" * 16
PARENT = f"00-{_TRACE}-{_SPAN}-01"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (PARENT, PARENT),
        (f"01-{_TRACE}-{_SPAN}-01-more", PARENT),  # a later version may say more
        (f"{PARENT}-more", None),
        (f"ff-{_TRACE}-{_SPAN}-01", None),
        (f"00-{'0' * 32}-{_SPAN}-01", None),
        (f"00-{_TRACE}-{'0' * 16}-01", None),
        (PARENT.upper(), None),
        (f"{PARENT}\n", None),
        ("+37061200001", None),
        (7, None),
        (None, None),
    ],
)
def test_only_what_w3c_calls_a_trace_parent_is_kept(given: object, kept: str | None) -> None:
    assert trace_parent(given) == kept


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, None),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_spans_go_where_opentelemetrys_variables_say(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str | None
) -> None:
    for each, said in variables.items():
        monkeypatch.setenv(each, said)
    assert trace_exporter() == name


async def test_what_records_spans_is_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")  # none that we have: nothing stops for it
    assert tracer_for() is UNTRACED
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    tracer = tracer_for()
    assert isinstance(tracer, SdkTracer)
    await tracer.close()


_WITHOUT = """
import os, sys
sys.modules["opentelemetry"] = None  # as where it is not installed
import worker.bootstrap, worker.broker.envelope
from worker.tracing import UNTRACED, tracer_for
assert tracer_for() is UNTRACED
print("nothing was named", flush=True)
os.environ["OTEL_TRACES_EXPORTER"] = "otlp"
assert tracer_for() is UNTRACED
"""


def test_without_the_extra_all_works() -> None:
    """Where an exporter is named all the same, that is said."""
    ended = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    before, _, after = (ended.stdout + ended.stderr).partition("nothing was named")
    assert "campaigns[otel]" not in before
    assert "campaigns[otel]" in after
