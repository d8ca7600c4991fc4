"""The environment: read here and nowhere else. Light: this is loaded before any command."""

import os
from collections.abc import Mapping

PREFIX = "CAMPAIGNS_"

TRACEBACK = f"{PREFIX}TRACEBACK"
"""Set to anything, it shows the traceback of an error that nobody foresaw; texts and numbers may be in it."""

NOT_SETTINGS = frozenset({TRACEBACK})
"""Variables of ours that are no settings: `load_settings` passes them over."""


# OpenTelemetry's own: what takes spans, whether all of it is off, and the addresses that spans may go to.
_EXPORTER = "OTEL_TRACES_EXPORTER"
_DISABLED = "OTEL_SDK_DISABLED"
_SPANS_GO_TO = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def of_this_process() -> Mapping[str, str]:
    """Every variable of this process."""
    return os.environ


def without_plugins() -> None:
    """Have pydantic, in this process and its children, look for no plugins: for that it reads what every
    installed package says of itself, and would run what a stranger's package names. Call before it is loaded.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def wants_traceback() -> bool:
    """Whether somebody asked to see the traceback of an error that nobody foresaw."""
    return bool(os.environ.get(TRACEBACK))


def has_multiprocess_metrics() -> bool:
    """Whether prometheus_client is told to keep its counts in files, for several processes together."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def trace_exporter() -> str | None:
    """What OpenTelemetry's own variables say takes spans, by its name there; None: nothing does.

    OpenTelemetry would take `otlp` where nothing is said. We want it said: by a name, or by an address.
    """
    said = {name: os.environ.get(name, "").strip() for name in (_EXPORTER, _DISABLED, *_SPANS_GO_TO)}
    if said[_DISABLED].lower() == "true":
        return None
    name = said[_EXPORTER].lower() or ("otlp" if any(said[each] for each in _SPANS_GO_TO) else "none")
    return None if name == "none" else name


def for_children(changes: Mapping[str, str], *, without_ours: bool) -> dict[str, str]:
    """The variables of a process that this one starts: its own, and `changes`.

    `without_ours` leaves out every variable that begins with CAMPAIGNS_, so that a demonstration can never
    reach a real account.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (without_ours and name.upper().startswith(PREFIX))
    }
    return kept | dict(changes)
