"""The providers, and the lists that they stand in."""

from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

import campaigns.providers
from campaigns.providers.registry import PROVIDERS
from simulator.options import ProviderName

FOLDERS = sorted(path.parent.name for path in Path(campaigns.providers.__file__).parent.glob("*/__init__.py"))


def test_every_folder_is_a_provider_and_has_a_simulator() -> None:
    assert sorted(PROVIDERS) == FOLDERS
    assert sorted(get_args(ProviderName)) == FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_a_provider_is_called_the_same_everywhere(name: str) -> None:
    description = PROVIDERS[name]
    assert get_args(description.settings.model_fields["provider"].annotation) == (name,)
    assert import_module(f"tests.contract.providers.{name}.member").MEMBER.name == name


@pytest.mark.parametrize("name", FOLDERS)
def test_the_demo_account_is_one_and_goes_to_the_simulator_alone(name: str) -> None:
    description = PROVIDERS[name]
    given = {
        key.lower(): value.format(url="http://127.0.0.1:1")
        for key, value in description.demo.settings.items()
    }
    account = description.settings.model_validate({"provider": name, **given})
    assert account.addresses
    assert all(getattr(account, address).startswith("http://127.0.0.1:1") for address in account.addresses)
