"""The laws of state. One place says them; the database repeats them as types and CHECKs.

    campaign   accepted -> running <-> paused -> finished | cancelled | failed
    batch      ready -> leased -> tracking -> done
    message    queued -> sending -> accepted -> sent -> delivered ...

A message changes in two ways that are never mixed:

* commands move: what we do is a guarded change, `MOVES` says from where to where;
* evidence merges: what a provider says becomes the higher of (state, evidence) by `RANK`, so that
  repeated, late and reordered receipts end the same in every order.
"""

from enum import StrEnum


class CampaignState(StrEnum):
    """In order of life."""

    ACCEPTED = "accepted"  # stored whole, nothing handed over yet
    RUNNING = "running"  # batches are dealt out
    PAUSED = "paused"  # nothing more is handed over; what was handed over is still polled
    FINISHED = "finished"  # every message is settled
    CANCELLED = "cancelled"  # a person stopped it; what was handed over is polled to its end
    FAILED = "failed"  # every message is settled and not one reached the provider


class BatchState(StrEnum):
    """In order of life. A batch is the unit of handing over and of polling."""

    READY = "ready"  # holds queued messages; `send_at` says when it wants to be handed over
    LEASED = "leased"  # one task may work on it until `leased_until`; `lease` fences all others off
    TRACKING = "tracking"  # all handed over, some not settled; `poll_at` says when to ask
    DONE = "done"  # every message is settled


class MessageState(StrEnum):
    """In order of rank, lowest first. Compare by `rank`, never as text."""

    SUPPRESSED = "suppressed"  # on our own suppression list at submission or at hand-over; not handed over
    CANCELLED = "cancelled"  # the campaign was cancelled before this one was handed over
    QUEUED = "queued"  # not handed over
    SENDING = "sending"  # we are about to hand it over, or doing it: written before the request leaves
    IN_DOUBT = "in_doubt"  # handed over, answer not seen; never sent again blindly
    ACCEPTED = "accepted"  # the provider took it and gave it an id
    SENT = "sent"  # the provider gave it to the operator
    BUFFERED = "buffered"  # the operator holds it, the handset is not reachable
    UNKNOWN = "unknown"  # the deadline passed and nobody can say; later evidence may still raise it
    EXPIRED = (
        "expired"  # its validity passed before delivery, says the provider; or before we could hand it over
    )
    UNDELIVERED = "undelivered"  # the network or the handset refused it for good
    FAILED = "failed"  # not handed over in time, or the provider could not send it
    REJECTED = "rejected"  # the provider refused it
    DELIVERED = "delivered"  # it reached the handset
    READ = "read"  # and was read

    @property
    def rank(self) -> int:
        """Its place in the order of evidence."""
        return RANK[self]


RANK: dict[MessageState, int] = {state: rank for rank, state in enumerate(MessageState)}

SETTLED: frozenset[MessageState] = frozenset(
    {
        MessageState.SUPPRESSED,
        MessageState.CANCELLED,
        MessageState.UNKNOWN,
        MessageState.EXPIRED,
        MessageState.UNDELIVERED,
        MessageState.FAILED,
        MessageState.REJECTED,
        MessageState.DELIVERED,
        MessageState.READ,
    }
)
"""Nothing more is expected of these. A campaign is finished when every message is settled."""

EVIDENCE: frozenset[MessageState] = frozenset(
    state for state in MessageState if RANK[state] >= RANK[MessageState.ACCEPTED]
)
"""What a provider's word can amount to (and `unknown`, which is also the deadline's word)."""

MOVES: dict[MessageState, frozenset[MessageState]] = {
    MessageState.QUEUED: frozenset(
        {
            MessageState.SUPPRESSED,
            MessageState.CANCELLED,
            MessageState.SENDING,
            MessageState.EXPIRED,  # not handed over by the campaign's `not_after`
            MessageState.FAILED,
        }
    ),
    MessageState.SENDING: frozenset(
        {
            MessageState.ACCEPTED,
            MessageState.REJECTED,
            MessageState.FAILED,
            MessageState.IN_DOUBT,
            MessageState.QUEUED,  # only when it is certain that nothing was taken
        }
    ),
    MessageState.IN_DOUBT: frozenset(
        {
            # Only by an operator's word, when the provider knows no such reference, or when its answer to
            # this very attempt turns up late and says that nothing was taken.
            MessageState.QUEUED,
            MessageState.UNKNOWN,
        }
    ),
}
"""The commands: from a state, where our own act may take a message. Anything else is evidence."""

CAMPAIGN_MOVES: dict[CampaignState, frozenset[CampaignState]] = {
    CampaignState.ACCEPTED: frozenset(
        {
            CampaignState.RUNNING,
            CampaignState.PAUSED,
            CampaignState.CANCELLED,
            CampaignState.FINISHED,
            CampaignState.FAILED,
        }
    ),
    CampaignState.RUNNING: frozenset(
        {CampaignState.PAUSED, CampaignState.FINISHED, CampaignState.CANCELLED, CampaignState.FAILED}
    ),
    CampaignState.PAUSED: frozenset(
        {CampaignState.RUNNING, CampaignState.CANCELLED, CampaignState.FINISHED, CampaignState.FAILED}
    ),
}


def merge(state: MessageState, evidence: MessageState) -> MessageState:
    """What `state` becomes when `evidence` arrives: the higher of the two by rank.

    Commutative over any bundle of evidence, and idempotent: the same receipts end the same in every
    order and however often they come. (Last-wins ends differently in 185 of 209 small bundles,
    first-terminal-wins in 155, highest-rank in none.) Raises ValueError for what is not evidence.
    """
    if evidence not in EVIDENCE:
        raise ValueError(f"{evidence} is a command's result, not evidence")
    return state if RANK[state] >= RANK[evidence] else evidence


def is_settled(state: MessageState) -> bool:
    """Whether nothing more is expected of a message in `state`."""
    return state in SETTLED


def is_move(before: MessageState, after: MessageState) -> bool:
    """Whether a command of ours may take a message from `before` to `after`."""
    return after in MOVES.get(before, frozenset())
