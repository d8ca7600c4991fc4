"""What an operator decides: read once from the environment and `.env`, checked whole, never changed."""
