"""Settings read from an environment that a test gives."""

from pathlib import Path

import pytest

from worker.settings.model import Settings
from worker.settings.reading import SettingsError, load_settings

KEY = "K3y-of-the-account"
MAIN = {
    "CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER": "lightsms",
    "CAMPAIGNS_ACCOUNTS__MAIN__LOGIN": "shop",
    "CAMPAIGNS_ACCOUNTS__MAIN__API_KEY": KEY,
}


def load(changes: dict[str, str] | None = None, *, without: tuple[str, ...] = ()) -> Settings:
    environment = {name: value for name, value in (MAIN | (changes or {})).items() if name not in without}
    return load_settings(environment, None)


def problems(changes: dict[str, str], *, without: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(changes, without=without)
    assert str(caught.value).splitlines() == list(caught.value.problems)
    # Nobody who prints the chain of causes may meet pydantic's error, which holds the values.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return list(caught.value.problems)


def env_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / ".env"
    path.write_text(text, encoding="utf-8")
    return path
