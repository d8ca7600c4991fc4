"""What watches. Start with `tutorial/`: the river in about a dozen tests."""
