"""seven.io: its adapter, and what it reads."""
