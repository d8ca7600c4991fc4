"""What all shapes are made of."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PlainSerializer, SkipValidation, WithJsonSchema


def amount_text(amount: Decimal) -> str:
    """Money as people write it: at least two decimals, no exponent, nothing rounded away."""
    plain = f"{amount:f}"
    whole, _, decimals = plain.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


Moment = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Day = Annotated[
    date,
    PlainSerializer(date.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date"}),
]
Id = Annotated[
    UUID, PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string", "format": "uuid"})
]
Amount = Annotated[
    Decimal,
    PlainSerializer(amount_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["12.50"]}),
]
Text = Annotated[str, SkipValidation]
"""Text of others as it came, also where it holds half a character: that is no mistake of ours to raise."""


class Shape(BaseModel):
    """A public object."""

    # Built when it is first used: a command needs few of them, and waits for none of the others.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def like(cls, source: object, **more: Any) -> Self:
        """What `source` has under the names of the fields, and what it has not."""
        found = {
            name: getattr(source, name)
            for name in cls.model_fields
            if name not in more and hasattr(source, name)
        }
        return cls(**found, **more)

    def public(self) -> dict[str, Any]:
        """Plain values for `json`, in the order of the fields. One with a default is left out unless it was
        given.
        """
        return self.model_dump(exclude_unset=True)


def public(shapes: Sequence[Shape]) -> list[dict[str, Any]]:
    """Several, for `json`."""
    return [shape.public() for shape in shapes]
