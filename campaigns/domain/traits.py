"""What the stages must know of an account's provider before they hand over or ask."""

from campaigns.domain.values import value


@value
class Traits:
    """The same for each message of one account."""

    timeout_seconds: float  # the longest one request may take, from connecting to the answer's last byte
    concurrency: int = 1  # requests of one batch in flight at once: 1 where one request takes many messages
    # How long after a hand-over `look_up` may be believed when it finds nothing. None: nobody to ask.
    settles_doubt_after_seconds: float | None = None
    # Between two questions about the same message, whatever the settings say. 0: as we like.
    least_pause_seconds: float = 0.0
    # Its callbacks may name a message by the provider's id alone, without our reference.
    calls_back_by_id: bool = False
