"""SQL of holding: accounts and campaigns on hold, and whether the database went back in time."""
