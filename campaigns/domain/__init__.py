"""The laws: pure functions and values. No clock, no I/O, no randomness of its own."""
