"""The query of dealing: which batches come next. `deal_sending.sql` and `deal_polling.sql` run it."""

from campaigns.domain.states import UNLEASED, BatchState
from campaigns.store.conditions import IS_LEASED, may_be_sent
from campaigns.store.law import in_list, quoted

# Round-robin by in-flight count: the more batches a campaign has in flight on an account, the later its next
# one comes, so a campaign of one batch never waits for one of ten thousand. Bounded by account too, so that a
# slow account never takes all that may be in flight. A lease that ran out counts no more, even before rescue.
# Ties are broken at random: otherwise the oldest campaign would win whenever fewer batches may be in flight
# than there are campaigns.
# The functions forbid bitmap scans: every lease goes through the index of what is leased. Read in its
# order, it forgets those that are over; read for a bitmap it does not, and reads all since the last VACUUM
# each time. And sorting, where there is a choice: what is due comes in order out of its own index; a plan
# that takes another index and sorts reads all that is due (seen before there are statistics).
# The chosen batches are locked by id. That they are still due is checked on the state as text, which no index
# covers: else PostgreSQL would read all due batches for each chosen one.
_DEAL = """
    WITH account AS (
        SELECT name, most FROM jsonb_to_recordset(p_wanted -> 'accounts') AS a(name text, most integer)
    ),
    flight AS (
        SELECT b.campaign_id, b.account, count(*) AS n FROM batch b
        WHERE {is_leased} AND b.leased_for = '{kind}' AND b.leased_until > now()
        GROUP BY b.campaign_id, b.account
    ),
    taken AS (SELECT account, sum(n) AS n FROM flight GROUP BY account),
    free AS (SELECT least(greatest(v_in_flight - coalesce(sum(n), 0), 0), v_most)::integer AS n FROM flight),
    waiting AS (
        SELECT d.id, a.name AS account, random() AS lot,
               row_number() OVER (PARTITION BY c.id, a.name ORDER BY d.due_at, d.id) + coalesce(f.n, 0)
                   AS nth
        FROM campaign c
        CROSS JOIN account a
        LEFT JOIN flight f ON f.campaign_id = c.id AND f.account = a.name
        CROSS JOIN LATERAL (
            SELECT b.id, b.{clock} AS due_at FROM batch b
            WHERE b.campaign_id = c.id AND b.account = a.name AND b.state {states} AND b.{clock} <= now()
            ORDER BY b.{clock}, b.id LIMIT least(a.most, (SELECT n FROM free))
        ) d
        WHERE c.finished_at IS NULL AND {open}
    ),
    ranked AS (
        SELECT id, nth, lot, account, row_number() OVER (PARTITION BY account ORDER BY nth, lot) AS rank
        FROM waiting
    ),
    chosen AS (
        SELECT r.id FROM ranked r
        JOIN account a ON a.name = r.account
        LEFT JOIN taken t ON t.account = r.account
        WHERE r.rank + coalesce(t.n, 0) <= a.most
        ORDER BY r.nth, r.lot LIMIT (SELECT n FROM free)
    ),
    locked AS (
        SELECT b.id FROM batch b WHERE b.id = ANY (ARRAY(SELECT id FROM chosen))
          AND b.state::text {states} AND b.{clock} <= now()
        ORDER BY b.id FOR NO KEY UPDATE OF b SKIP LOCKED
    ),
    dealt AS (
        UPDATE batch b SET state = 'leased', lease = b.lease + 1, leased_for = '{kind}', leased_by = NULL,
               leased_until = now() + make_interval(secs => v_lease_seconds)
        FROM locked WHERE b.id = locked.id
        RETURNING b.id, b.lease, b.campaign_id
    ),
    begun AS (
        UPDATE campaign SET state = 'running'
        WHERE state = 'accepted' AND id IN (SELECT campaign_id FROM dealt) AND '{kind}' = 'sending'
    )
    SELECT d.id, d.lease FROM dealt d
"""

DEAL_SENDING = _DEAL.format(
    kind="sending",
    clock="send_at",
    states=f"= {quoted(BatchState.READY)}",
    is_leased=IS_LEASED,
    open=may_be_sent("a.name"),
)
"""SQL: leases what is handed over next, within the bounds that the function takes."""

# What was handed over is polled to its end, also when the campaign is paused, cancelled or on hold.
DEAL_POLLING = _DEAL.format(
    kind="polling",
    clock="poll_at",
    states=f"IN {in_list(UNLEASED)}",
    is_leased=IS_LEASED,
    open="true",
)
"""SQL: leases what is asked about next."""
