"""The laws of state: the one file that says them. All SQL takes its states from here (`store/law.py` renders
them), and every test database has a trigger made from here that refuses any other change.

    campaign   accepted -> running <-> paused -> finished | cancelled | failed
    batch      ready -> leased -> tracking -> done
    message    queued -> sending -> accepted -> sent -> delivered ...

A message changes in two ways that are never mixed:

* commands move: what we do is a guarded change, `MOVES` says from where to where;
* evidence merges: what a provider says becomes the higher of (state, evidence) by `RANK`, so that
  repeated, late and reordered receipts end the same in every order.

A new message state: one line in `MessageState` (its position is its rank), the sets below that it belongs
to, a column in `store/tables/campaigns.py`, and a migration with `ALTER TYPE` and that column.
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
        """Its rank in the order of evidence."""
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
"""What a provider can tell us, be it the answer to the hand-over or a later receipt. `unknown` is
also set at the deadline, and by an operator.
"""

POLLABLE: frozenset[MessageState] = frozenset(
    {MessageState.ACCEPTED, MessageState.SENT, MessageState.BUFFERED}
)
"""The provider has it and can be asked about it by its own id."""

OPEN: frozenset[MessageState] = frozenset({MessageState.SENDING, MessageState.IN_DOUBT}) | POLLABLE
"""Handed over, or about to be, and not settled: a batch with any of these and none queued is tracking."""

UNSETTLED: frozenset[MessageState] = frozenset({MessageState.QUEUED}) | OPEN
"""What the deadline still has to settle."""

NOT_TAKEN: frozenset[MessageState] = frozenset(
    {
        MessageState.SUPPRESSED,
        MessageState.CANCELLED,
        MessageState.QUEUED,
        MessageState.SENDING,
        MessageState.REJECTED,
    }
)
"""As far as we know, the provider never took these."""

UNREACHED: frozenset[MessageState] = frozenset(
    {MessageState.EXPIRED, MessageState.UNDELIVERED, MessageState.FAILED, MessageState.REJECTED}
)
"""Settled, and known to have reached nobody for a reason that is worth a look."""

FOLLOWED_UP: frozenset[MessageState] = UNREACHED | {MessageState.CANCELLED}
"""Settled without having reached anybody, as far as we know: a follow-up may send to these."""

PERHAPS_REACHED: frozenset[MessageState] = frozenset({MessageState.UNKNOWN})
"""Settled, and nobody knows: a follow-up sends to these only by a person's decision."""

UNSURE: frozenset[MessageState] = frozenset(
    {MessageState.SENDING, MessageState.IN_DOUBT, MessageState.UNKNOWN}
)
"""Without an id of the provider's: whether it has these, nobody knows."""

INITIAL: frozenset[MessageState] = frozenset({MessageState.QUEUED, MessageState.SUPPRESSED})
"""What a message can be when it is taken in."""

MOVES: dict[MessageState, frozenset[MessageState]] = {
    MessageState.QUEUED: frozenset(
        {
            MessageState.SUPPRESSED,  # the number said STOP since it was taken in
            MessageState.CANCELLED,
            MessageState.SENDING,
            MessageState.EXPIRED,  # not handed over by the campaign's `not_after`
            MessageState.FAILED,  # not handed over by the deadline, or its batch ended its workers
        }
    ),
    MessageState.SENDING: frozenset(
        {
            MessageState.IN_DOUBT,  # the answer was not seen, or the worker ended before it came
            MessageState.QUEUED,  # only when it is certain that nothing was taken
        }
    ),
    MessageState.IN_DOUBT: frozenset(
        {
            # Only by an operator's decision, when the provider knows no such reference, or when its answer to
            # this very attempt comes late and says that nothing was taken.
            MessageState.QUEUED,
        }
    ),
}
"""The commands: from a state, where our own act may take a message. Anything else is evidence. No move that
evidence allows anyway is listed here, so that each line decides something.
"""

BATCH_MOVES: dict[BatchState, frozenset[BatchState]] = {
    BatchState.READY: frozenset(
        {
            BatchState.LEASED,
            BatchState.TRACKING,  # what was queued in it was settled, what was handed over is still open
            BatchState.DONE,
        }
    ),
    BatchState.LEASED: frozenset({BatchState.READY, BatchState.TRACKING, BatchState.DONE}),
    BatchState.TRACKING: frozenset(
        {
            BatchState.LEASED,
            BatchState.READY,  # something in doubt is queued again
            BatchState.DONE,
        }
    ),
}
"""What is done stays done: a settled message is never queued again."""

BATCH_INITIAL: frozenset[BatchState] = frozenset({BatchState.READY, BatchState.DONE})
"""What a batch can be when it is made; done where every message of it is suppressed."""

UNLEASED: frozenset[BatchState] = frozenset({BatchState.READY, BatchState.TRACKING})
"""Nobody works on it, and something in it is not settled: it can be polled, and its deadline counts."""

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
"""What ended stays ended: an ended campaign has no line here."""

CAMPAIGN_INITIAL: frozenset[CampaignState] = frozenset({CampaignState.ACCEPTED})
"""What a campaign is when it is taken in."""

SENDABLE: frozenset[CampaignState] = frozenset({CampaignState.ACCEPTED, CampaignState.RUNNING})
"""Something of it may be handed over, as far as its own state goes."""


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


def takes_evidence(state: MessageState, attempt: int) -> bool:
    """Whether what a provider says can be about a message in `state` that was handed over `attempt` times.

    What never left cannot have been received. A queued message takes it where it was handed over before
    (the provider had said it knew no such thing): else it would be sent again.
    """
    return RANK[state] >= RANK[MessageState.SENDING] or (state is MessageState.QUEUED and attempt >= 1)


def may_change(before: MessageState, after: MessageState, attempt: int) -> bool:
    """Whether a message that was handed over `attempt` times may change so: by a command, or by evidence."""
    return is_move(before, after) or (
        after in EVIDENCE and RANK[after] > RANK[before] and takes_evidence(before, attempt)
    )
