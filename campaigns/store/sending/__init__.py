"""SQL of sending: intents and outcomes of hand-overs."""
