"""How fast we may speak to an account, counted once for all worker processes."""
