"""What a check says to other programs: `campaigns check --json`, and the API's check."""

from typing import Literal, Self

from pydantic import Field

from campaigns import checking, estimating
from campaigns.domain.phone import mask
from worker.shapes.base import Amount, Id, Moment, Shape, Text
from worker.shapes.campaigns import Cost


class RefusedRows(Shape):
    """Rows that would not be taken in for one reason."""

    reason: str
    count: int
    rows: list[int] = Field(description="The first of them, as a person counts.")


class CostlyCharacter(Shape):
    """A character that makes messages need more segments."""

    character: Text
    name: str = Field(description="As Unicode names it.")
    replacement: str | None = Field(description="What a keyboard has for it.")
    message_count: int
    row: int = Field(description="The first whose message holds it.")
    is_in_text: bool = Field(description="It is in the campaign's text; else in a column.")


class CheckedMessage(Shape):
    """One message as it would be sent."""

    row: int
    phone: str = Field(description="Masked.")
    text: Text
    encoding: Literal["gsm7", "ucs2"]
    segment_count: int

    @classmethod
    def of(cls, message: checking.SampleMessage) -> Self:
        """A message as it is shown."""
        return cls.like(message, phone=mask(message.phone))


class CountryCost(Shape):
    """What messages to one country would cost."""

    country: str = Field(description="+ and the country code.")
    message_count: int
    segment_count: int
    price: Amount | None = Field(
        description="Of a segment; the highest, where a price list has several for the country's networks."
    )
    lowest_price: Amount | None = Field(description="Equal to `price` where there is one price.")
    price_source: Text | None = Field(
        description=f"`{estimating.CHARGED}`: what this account was charged for a segment to the country;"
        " or the provider's price list, by its name. None where no price is known."
    )
    amount: Amount | None = Field(description="By `price`: by a highest one it is the most it can be.")


class Estimate(Shape):
    """What the campaign would cost, and what is left on the account."""

    amount: Amount | None = Field(description="Of all segments that have a price; None: there is none.")
    currency: Text | None
    priced_message_count: int = Field(description="How many messages the account's own prices come from.")
    unpriced_segment_count: int = Field(description="Segments to countries without a price.")
    countries: list[CountryCost]
    quote_trouble: Text | None = Field(
        description="Why the provider's price list, where it has one and it was needed, is not known."
    )
    balance: Cost | None
    balance_trouble: Text | None = Field(description="Why the balance is not known.")
    is_enough: bool | None = Field(
        description="Whether the balance covers it; None where that is not certain."
    )

    @classmethod
    def of(cls, estimate: estimating.Estimate) -> Self:
        """An estimate as it is shown."""
        return cls.like(
            estimate,
            countries=[CountryCost.like(each) for each in estimate.countries],
            balance=estimate.balance and Cost.like(estimate.balance),
        )


class KnownCampaign(Shape):
    """The campaign that the same submission made before."""

    id: Id
    created_at: Moment | None


class Check(Shape):
    """What a submission would become. Nothing is stored."""

    row_count: int = Field(description="Rows that were read.")
    recipient_count: int = Field(description="Recipients that would be taken in.")
    message_count: int = Field(description="Messages that would be sent: without the suppressed ones.")
    suppressed_count: int
    batch_count: int
    refused: list[RefusedRows] = Field(
        description="Rows that would not be taken in; repeats are `duplicate`."
    )
    trouble: Text | None = Field(description="Why the submission would be refused as a whole.")
    known: KnownCampaign | None = Field(description="What it already is: nothing would be stored again.")
    noted: dict[str, int] = Field(description="Rows that would be taken in and are worth a look, by note.")
    columns: list[Text] = Field(description="Those beside the number.")
    unused_columns: list[Text] = Field(description="Those that the text does not use.")
    segment_count: int = Field(description="Of all messages.")
    encodings: dict[Literal["gsm7", "ucs2"], int] = Field(description="Messages by encoding.")
    segments: dict[int, int] = Field(description="Messages by how many segments they need.")
    costly: list[CostlyCharacter] = Field(description="The commonest first.")
    saved_segment_count: int = Field(description="How many segments fewer without the costly characters.")
    longest: CheckedMessage | None
    sample: list[CheckedMessage] = Field(description="The first rows.")
    cost: Estimate
    request_count: int = Field(description="Requests to the provider.")
    duration_seconds: float = Field(description="At the account's pace, where nothing else is sent.")
    content_hash: str = Field(description="Equal for a submission of the same content.")

    @classmethod
    def of(cls, checked: checking.Checked) -> Self:
        """A check as it is shown."""
        return cls.like(
            checked,
            refused=[RefusedRows.like(each) for each in checked.refused],
            known=checked.known and KnownCampaign.like(checked.known),
            costly=[CostlyCharacter.like(each) for each in checked.costly],
            longest=checked.longest and CheckedMessage.of(checked.longest),
            sample=[CheckedMessage.of(each) for each in checked.sample],
            cost=Estimate.of(checked.estimate),
        )
