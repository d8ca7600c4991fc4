"""SQL of rescue: leases that ran out, deadlines, operators' decisions on doubt."""
