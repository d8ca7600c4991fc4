"""SQL of holding: accounts and campaigns on hold, and where the database stands."""
