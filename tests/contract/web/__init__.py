"""What the outside speaks to, over real HTTP."""
