"""Columns that many tables have."""

from datetime import datetime

from sqlalchemy import Column, DateTime, Enum, func

from campaigns.domain.states import BatchState, CampaignState, MessageState


def enumeration(states: type[CampaignState | BatchState | MessageState], name: str) -> Enum:
    """A column's type for the states of one kind. A PostgreSQL enum compares in the order of its labels:
    GREATEST(state, evidence) is the law of rank.
    """
    return Enum(states, name=name, values_callable=lambda members: [member.value for member in members])


def moment(*, nullable: bool = False, default: bool = False) -> Column[datetime]:
    """A moment with its time zone; `default`: now, as the database has it."""
    return Column(DateTime(timezone=True), nullable=nullable, server_default=func.now() if default else None)
