"""Loyalty.lt, played: JSON both ways, errors by HTTP status, callbacks."""

from simulator.loyalty_lt.endpoints import LoyaltyLt

PROVIDER = LoyaltyLt
