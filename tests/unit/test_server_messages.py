"""What a server said stands in the log; what it was told does not."""

import pytest
from redis import exceptions as redis_errors

from worker.logs.masking import shown_sentence

SECRET = "Labas Ona, your code"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (redis_errors.ReadOnlyError("You can't write against a read only replica."), "read only replica."),
        (
            redis_errors.ResponseError("MISCONF it's full, it can't write"),
            "MISCONF it's full, it can't write",
        ),
        (redis_errors.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "'maxmemory'"),
        (redis_errors.AuthenticationError("Authentication required."), "Authentication required."),
    ],
)
def test_what_redis_says_is_shown_and_what_it_was_told_is_not(error: Exception, shown: str) -> None:
    """In Celery's sentences too, which hold the exception as an argument or as text."""
    told = type(error)(f"Command # 1 (HSET unacked 1 {SECRET}) of pipeline caused error: {error}")
    for line in (
        shown_sentence(told),
        shown_sentence(f"consumer: Cannot connect: {type(told).__module__}.{type(told).__name__}: {told}"),
    ):
        assert shown in line
        assert SECRET not in line
    coded = redis_errors.OutOfMemoryError("command not allowed", status_code="OOM")
    assert shown_sentence(coded) == "redis.exceptions.OutOfMemoryError: OOM command not allowed"
    asked = redis_errors.ResponseError(f"unknown command 'X', with args beginning with: '{SECRET}' ")
    assert SECRET not in shown_sentence(asked)
