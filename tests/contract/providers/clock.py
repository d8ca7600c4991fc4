"""A clock that a test moves by hand."""


class Clock:
    """Both clocks of a process, in seconds."""

    def __init__(self, wall: float = 0.0) -> None:
        self.monotonic = 1000.0
        self.wall = wall

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds
