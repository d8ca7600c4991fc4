"""A release is rolled out while the workers of the one before it still run: real processes of both."""
