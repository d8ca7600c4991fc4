"""LightSMS: its adapter, and what it reads."""
