"""Loyalty.lt: its adapter, and what it reads."""
