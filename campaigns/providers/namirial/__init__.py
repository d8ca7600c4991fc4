"""Namirial: its adapter, and what it reads."""
