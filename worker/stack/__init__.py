"""What `campaigns up` and `demo` start: children, and PostgreSQL and Redis for a machine that has none."""
