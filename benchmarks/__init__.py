"""What things cost, and what the usual way costs: one command each, a table at the end."""
