"""Values: small typed records that are made once and never changed."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[_T]) -> type[_T]:
    """Make a dataclass with slots whose fields nobody assigns again, cheap enough for each message.

    mypy checks that, not the interpreter: a dataclass that is frozen at run time takes three times as long
    to make, and hundreds of these are made for a batch. Equal by content within a class; hashable where all
    its fields are.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
