"""What docs/operating.md tells people to type does what it says."""

import re
from pathlib import Path

from campaigns.store.session import Database
from tests.integration.rows import query
from tests.river import phones, submit

ROOT = Path(__file__).parents[2]


async def test_forgetting_leaves_no_orphans(database: Database) -> None:
    """The statement as printed."""
    (sql,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "operating.md").read_text(), re.DOTALL)
    await submit(database, [*phones(3), {"phone": "12"}])
    await submit(database, phones(2))
    await query(
        database,
        "UPDATE campaign SET state = 'finished', finished_at = now() - interval '91 days'"
        " WHERE recipient_count = 3",
    )

    await query(database, sql)

    assert await query(database, "SELECT count(*) AS n FROM message") == [{"n": 2}]
    assert await query(database, "SELECT count(*) AS n FROM campaign") == [{"n": 1}]
    assert await query(database, "SELECT count(*) AS n FROM refusal") == [{"n": 0}]
