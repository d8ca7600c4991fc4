"""SQL of receipts: what polls and callbacks say, what came late, what was set aside."""
