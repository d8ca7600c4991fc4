"""What is logged, and what never is: texts, keys and full numbers."""
