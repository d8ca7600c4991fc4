"""Reads the settings from the environment and from a `.env` file.

Names start with CAMPAIGNS_, and two underscores lead to a setting inside another
(CAMPAIGNS_ACCOUNTS__MAIN__LOGIN). The same lines may be in a `.env` file of the working directory; the
environment wins over it, name by name. Values in `.env` are taken literally: `${NAME}` is not filled in.
ACCOUNTS, ACCOUNTS__<NAME>, POLL and RETRY may also be given as one JSON object each. A name that is not a
setting is an error, because a misspelt limit costs money. What Kubernetes writes for a Service called
campaigns… is passed over.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from campaigns.domain.errors import CampaignError
from worker.settings.environment import NOT_SETTINGS, PREFIX, of_this_process
from worker.settings.model import GROUPS, Settings
from worker.settings.sentences import sentence
from worker.settings.service_links import is_service_link


class SettingsError(CampaignError):
    """The settings cannot be used. One sentence a problem, each beginning with the variable to mend."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


_Problems = dict[str, str]  # the variable -> what is wrong with it, in one sentence that begins with it


def load_settings(
    environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> Settings:
    """Read the settings.

    Takes the environment (None: the real one) and the file that stands behind it; the file may be absent.
    Raises SettingsError, which names everything that is wrong at once and shows no secret.
    """
    given = of_this_process() if environment is None else environment
    problems: _Problems = {}
    behind = _nested(_sorted_out(_lines(env_file, problems), problems))
    values = _merged(behind, _nested(_sorted_out(given.items(), problems)))
    settings: Settings | None = None
    errors: list[ErrorDetails] = []
    try:
        settings = Settings(**values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    for details in errors:
        said = sentence(details)
        variable = said.split(maxsplit=1)[0]
        parents = ("__".join(variable.split("__")[:depth]) for depth in (1, 2, 3))
        if not any(parent in problems for parent in parents):
            problems[variable] = said
    if problems or settings is None:
        # Outside the except block: pydantic's error knows the values, and must not hang on to ours.
        raise SettingsError(problems.values())
    return settings


def _lines(env_file: Path | None, problems: _Problems) -> list[tuple[str, str | None]]:
    """The variables of `env_file`, in order; none where there is no file."""
    if env_file is None:
        return []
    try:
        with env_file.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        problems[str(env_file)] = f"{env_file} cannot be read ({type(error).__name__}): mend it or remove it"
        return []
    for binding in bindings:
        if binding.error and PREFIX in binding.original.string.upper():
            where = f"{env_file}, line {binding.original.line},"
            problems[where] = f"{where} cannot be read: write NAME=value, with quotes closed"
    return [(binding.key, binding.value) for binding in bindings if binding.key is not None]


def _sorted_out(variables: Iterable[tuple[str, str | None]], problems: _Problems) -> dict[str, str]:
    """Those of `variables` that are valid settings, in small letters and without prefix; wrong ones go to
    `problems`.
    """
    ours = [(typed, value) for typed, value in variables if typed.upper().startswith(PREFIX)]
    known = _known_names(typed for typed, _ in ours)
    sound: dict[str, str] = {}
    for typed, raw in ours:
        name, value = typed[len(PREFIX) :].lower(), (raw or "").strip()
        if typed.upper() in NOT_SETTINGS or is_service_link(typed[len(PREFIX) :], value):
            continue
        if not _is_setting(name):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {PREFIX}{near[0].upper()}?" if near else "no setting has a name like it"
            problems[typed.upper()] = f"{typed} is not a setting: {hint}"
        elif not value:
            problems[typed.upper()] = f"{typed} is set to nothing: give it a value, or remove it"
        elif name in sound:
            problems[typed.upper()] = f"{typed} is set twice in one place: remove one of them"
        elif not _is_object_name(name):
            sound[name] = value
        else:
            try:
                sound[name] = json.dumps(_json_object(value))
            except (ValueError, RecursionError):
                problems[typed.upper()] = (
                    f"{typed} must be one JSON object that names nothing twice, or left out in favour of "
                    f"variables that begin with {typed.upper()}__"
                )
    return sound


def _is_setting(name: str) -> bool:
    match name.split("__"):
        case [field]:
            return field in Settings.model_fields
        case ["accounts", _]:
            return True
        case [("poll" | "retry") as group, field] | [("accounts" as group), _, field]:
            return field in GROUPS[group]
        case _:
            return False


def _is_object_name(name: str) -> bool:
    return name in GROUPS or (name.startswith("accounts__") and name.count("__") == 1)


def _known_names(typed: Iterable[str]) -> list[str]:
    """Every name that could have been meant, given the accounts that `typed` names."""
    inside = [name[len(PREFIX) :].lower().split("__")[1:-1] for name in typed if "__" in name]
    accounts = {"_".join(filter(None, middle)) for middle in inside} - {""} or {"main"}
    in_accounts = [
        f"accounts__{account}__{field}" for account in sorted(accounts) for field in GROUPS["accounts"]
    ]
    in_groups = [f"{group}__{field}" for group in ("poll", "retry") for field in GROUPS[group]]
    return [*Settings.model_fields, *in_groups, *in_accounts]


def _json_object(text: str) -> dict[str, Any]:
    """`text` with its names in small letters, as those of variables are. Raises ValueError."""

    def small(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = {name.lower(): value for name, value in pairs}
        if len(result) < len(pairs):
            raise ValueError("a name stands there twice")
        return result

    value = json.loads(text, object_pairs_hook=small)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _nested(variables: Mapping[str, str]) -> dict[str, Any]:
    """`variables` as one nested object. A value stays text: its field says how it is read."""
    result: dict[str, Any] = {}
    for name in sorted(variables):  # so that an account's object comes before variables that add to it
        value: Any = json.loads(variables[name]) if _is_object_name(name) else variables[name]
        for part in reversed(name.split("__")):
            value = {part: value}
        result = _merged(result, value)
    return result


def _merged(behind: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Both, nested; where they meet, `before` wins."""
    result = behind | before
    for name in behind.keys() & before.keys():
        if isinstance(behind[name], dict) and isinstance(before[name], dict):
            result[name] = _merged(behind[name], before[name])
    return result


# --- Celery's own variables --------------------------------------------------------------------------

_CELERYS_VARIABLES = (
    *("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"),
    *("CELERY_RESULT_BACKEND", "CELERY_LOADER"),
)


def refuse_celerys_variables(environment: Mapping[str, str] | None = None) -> None:
    """Raises SettingsError for variables of Celery's that would make worker or beat use another broker than
    every other command. They are mostly left over from another application.
    """
    given = of_this_process() if environment is None else environment
    raise_for = [name for name in _CELERYS_VARIABLES if given.get(name)]
    if raise_for:
        raise SettingsError(
            f"{name} is set, or -b is given: Celery would use it in place of {PREFIX}REDIS_URL; remove it "
            f"(env -u {name} …)"
            for name in raise_for
        )
