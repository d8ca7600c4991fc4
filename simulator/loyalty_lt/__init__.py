"""Loyalty.lt, played: JSON both ways, errors by HTTP status, callbacks."""
