"""Write docs/settings.md, docs/limits.md and docs/ops/metrics.md from the code: `make docs`. A guard compares
them with it.

Settings come from the pydantic models: the sentence below each field. Limits come from the sources: a number
in capitals at the top of a module, with the docstring below it, or the comment beside or above it.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from campaigns.domain.described_fields import described_fields
from campaigns.domain.metrics import PACE, TRUTH, Metric
from campaigns.providers.account import AccountSettings
from campaigns.providers.registry import PROVIDERS
from worker.settings.model import Settings

ROOT = Path(__file__).parents[1]

# --- settings ----------------------------------------------------------------------------------------

_SETTINGS = """\
# Settings

<!-- written by docs/generate.py (`make docs`) from the models: do not edit -->

Environment variables, or the same lines in a `.env` file of the working directory; the environment wins,
name by name. Names begin with `CAMPAIGNS_`, two underscores lead inside. A wrong, missing or misspelt one is
one sentence that names it, before anything starts. Values in `.env` are taken as they are: `${NAME}` is not
filled in. `ACCOUNTS`, `ACCOUNTS__<NAME>`, `POLL` and `RETRY` may each be one JSON object instead.
Logs never hold a secret. Traces go by OpenTelemetry's own variables, `OTEL_*`, from the environment alone:
see [operating](operating.md#3-watch).

"""

_UNITS = {
    "_per_second": "requests a second",
    "_seconds": "seconds",
    "_minutes": "minutes",
    "_batches": "batches",
    "_url": "address",
    "_dir": "directory",
    "_port": "port",
    "_host": "address of this machine",
    "factor": "times",
    "jitter": "share, 0 to 0.5",
    "burst": "requests",
    "concurrency": "requests",
    "_per_request": "recipients",
    "currency": "ISO 4217",
    "trusted_proxies": "addresses or networks, with commas",
    "api_hosts": "names, with commas",
    "webhook_allow": "addresses or networks, with commas",
}


def _is(annotation: object, kind: type) -> bool:
    return annotation is kind or any(_is(each, kind) for each in get_args(annotation))


def _choices(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return next((found for each in get_args(annotation) if (found := _choices(each))), ())


def _unit(name: str, about: FieldInfo) -> str:
    if choices := _choices(about.annotation):
        return " or ".join(f"`{choice}`" for choice in choices)
    if _is(about.annotation, SecretStr):
        return "secret"
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "text")


def _default(about: FieldInfo) -> str:
    if about.is_required():
        return "must be set"
    value = about.default
    return "none" if value in (None, "", {}) else f"`{value}`"


def _row(prefix: str, name: str, about: FieldInfo) -> str:
    words = " ".join((about.description or "").split()).replace("|", "\\|")
    return f"| `{prefix}{name.upper()}` | {_unit(name, about)} | {_default(about)} | {words} |"


def _table(prefix: str, fields: Mapping[str, FieldInfo]) -> str:
    head = "| name | unit or values | default | what it is, and what goes wrong |\n|---|---|---|---|\n"
    return head + "".join(_row(prefix, name, about) + "\n" for name, about in fields.items()) + "\n"


def _is_group(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _differs(name: str, about: FieldInfo) -> bool:
    common = described_fields(AccountSettings).get(name)
    return common is None or (common.default, common.description) != (about.default, about.description)


def settings_page() -> str:
    """docs/settings.md, every setting with the sentence below it in its model."""
    fields = described_fields(Settings)
    groups = {name: about for name, about in fields.items() if _is_group(about.annotation)}
    plain = {name: about for name, about in fields.items() if name not in groups and name != "accounts"}
    page = _SETTINGS + "## In general\n\n" + _table("CAMPAIGNS_", plain)
    for name, about in groups.items():
        model: type[BaseModel] = about.annotation  # type: ignore[assignment]  # _is_group looked at it
        page += f"## {name.capitalize()}\n\n{about.description}\n\n"
        page += _table(f"CAMPAIGNS_{name.upper()}__", described_fields(model))
    page += (
        "## Accounts\n\n"
        f"{fields['accounts'].description}\n\n"
        "`…` is `CAMPAIGNS_ACCOUNTS__<NAME>`: `CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER` makes the account\n"
        "`main`. These hold for every provider; what a provider adds or has otherwise is below.\n\n"
        + _table("…__", described_fields(AccountSettings))
    )
    for name, provider in PROVIDERS.items():
        own = {
            field: each
            for field, each in described_fields(provider.settings).items()
            if _differs(field, each)
        }
        page += f"### {name}\n\n" + _table("…__", own)
    return (
        page + "## Of a single command\n\n"
        "`CAMPAIGNS_TRACEBACK=1` before a command shows Python's traceback of an error that was not\n"
        "foreseen. It may hold texts and numbers.\n"
    )


# --- limits ------------------------------------------------------------------------------------------

_LIMITS = """\
# Limits in the code

<!-- written by docs/generate.py (`make docs`) from the sources: do not edit -->

Every bound, time limit and size that no setting changes, with the comment beside it in the code. What a file,
a number or a text may be: [recipients.md](recipients.md). What can be set: [settings.md](settings.md). To
change one of these, edit the line, run the tests of that file, and `make docs`.

"""

_NAMES = re.compile(
    r"_?(?:[A-Z0-9_]*_)?(?:SECONDS|MINUTES|DAYS|MOST|MAX|MIN|LONGEST|SHORTEST|FEWEST|LIMIT|SIZE|BYTES|CHARACTERS)(?:_[A-Z0-9_]*)?"
)
_FOLDERS = ("campaigns", "worker")
_INSIDE = ("campaigns/store/migrations/",)
_UNIT_OF_NAME = {
    "SECONDS": "s",
    "MINUTES": "min",
    "DAYS": "days",
    "BYTES": "bytes",
    "CHARACTERS": "characters",
}


class Limit(NamedTuple):
    """A number in capitals at the top of a module."""

    path: str
    name: str
    value: float
    words: str

    @property
    def shown(self) -> str:
        """The value with the unit that its name ends on."""
        parts = self.name.split("_")
        unit = next((unit for name, unit in _UNIT_OF_NAME.items() if name in parts), "")
        if unit == "bytes" and self.value >= 1024 * 1024 and self.value % (1024 * 1024) == 0:
            return f"{self.value / (1024 * 1024):,.0f} MiB"
        return f"{self.value:,.12g} {unit}".rstrip()


def _number(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.BinOp(left, ast.Mult() | ast.Pow() as operation, right):
            one, other = _number(left), _number(right)
            if one is None or other is None:
                return None
            return one * other if isinstance(operation, ast.Mult) else one**other
    return None


def _words(body: list[ast.stmt], at: int, lines: list[str]) -> str:
    node, after = body[at], body[at + 1] if at + 1 < len(body) else None
    match after:
        case ast.Expr(ast.Constant(value=str() as told)):
            return " ".join(told.split())
    beside = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")[2]
    if beside and not beside.startswith(("noqa", "type:")):
        return beside
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.startswith("# ") or line.startswith("# ---"):
            break
        above.insert(0, line[2:])
    return " ".join(above)


def limits() -> Iterator[Limit]:
    """Every limit of the product, file by file, as it stands in the file."""
    files = [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.py")]
    for path in sorted(files, key=lambda path: (path.parent, path.name)):
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text(encoding="utf-8")
        body, lines = ast.parse(text).body, text.splitlines()
        for at, node in enumerate(body):
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=target)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value)
                ):
                    number = _number(value)
                    if number is not None and _NAMES.fullmatch(target) and not name.startswith(_INSIDE):
                        yield Limit(name, target, number, _words(body, at, lines))


def limits_page() -> str:
    """docs/limits.md: a table for each folder."""
    page, before = _LIMITS, ""
    for limit in limits():
        folder, _, file = limit.path.rpartition("/")
        if folder != before:
            page += f"{before and chr(10)}## {folder}/\n\n| file | limit | value | |\n|---|---|---|---|\n"
            before = folder
        words = limit.words.replace("|", "\\|")
        page += f"| {file} | `{limit.name}` | {limit.shown} | {words} |\n"
    return page


# --- metrics -----------------------------------------------------------------------------------------

_METRICS = """\
# Metrics

<!-- written by docs/generate.py (`make docs`) from campaigns/domain/metrics.py: do not edit -->

Each process with `CAMPAIGNS_METRICS_PORT` tells Prometheus at `http://127.0.0.1:PORT/metrics` how it is:
every process of a machine on a port of its own, never on the public one. `campaigns up` gives web that port,
beat the next, and each worker one more. `CAMPAIGNS_METRICS_HOST` is another address than loopback: whoever
reaches it reads accounts and volumes, but no number, text or id. All names begin with `campaigns_`; Python's
`process_…` are there too.

- [alerts.yml](alerts.yml): alert rules for Prometheus, each with what to do. A test makes each trouble and
  sees its alert fire. There is none for a balance that runs low: a balance is asked for, and not kept.
- [dashboard.json](dashboard.json): a dashboard for Grafana; import it and choose your Prometheus.

Flower and celery-exporter count tasks. A task of ours carries batches of many campaigns, so their numbers say
nothing of messages.

"""


def _metric_rows(metrics: Iterable[Metric]) -> str:
    rows = "| name | kind | labels | what it says |\n|---|---|---|---|\n"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows += f"| `{metric.name}` | {metric.kind} | {labels} | {metric.says} |\n"
    return rows


def metrics_page() -> str:
    """docs/ops/metrics.md: every metric with its labels and what it says."""
    return (
        f"{_METRICS}## What is so, out of the database\n\n"
        "Told by each web process, the same by all: take `max` over them. The database is asked at most\n"
        "every five seconds, however often machines ask.\n\n"
        f"{_metric_rows(TRUTH)}\n## What each process counts\n\nFrom its start: take `sum` of `rate`.\n\n"
        f"{_metric_rows(PACE)}"
    )


PAGES: Mapping[str, Any] = {
    "settings.md": settings_page,
    "limits.md": limits_page,
    "ops/metrics.md": metrics_page,
}

if __name__ == "__main__":
    for page_name, page_of in PAGES.items():
        (ROOT / "docs" / page_name).write_text(page_of(), encoding="utf-8")
