"""Two releases on one database: processes of both, and what each says of the campaigns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from tests.acceptance.commands import HERE
from tests.acceptance.processes import Stack, csv_of
from tests.waiting import until, wait_until

_HANDS_OVER = """
    SELECT 1 FROM batch WHERE state = 'leased' AND leased_for = 'sending' AND sending_count > 0
    AND split_part(leased_by, ':', 2) = $1
"""


class Release(Stack):
    """The processes of one release: worker and beat by name, and its own commands."""

    def __init__(self, directory: Path, settings: Mapping[str, str], tree: Path | None) -> None:
        super().__init__(directory, settings, tree)
        self.loaded = tree or HERE

    def submit(self, phones: Sequence[str], text: str = "Hi") -> str:
        """Submit with this release's command. Gives the id."""
        rows = csv_of([{"phone": phone} for phone in phones])
        done = self.json("submit", "-", "--account", "main", "--text", text, stdin=rows)
        return str(done["id"])

    def start_beside(self, name: str) -> None:
        """Start this release's worker and beat, and wait until the worker is there."""
        self.beat(f"{name}-beat")
        self.start_worker(name)

    def start_worker(self, name: str) -> None:
        """Start this release's worker, once more perhaps, and wait until it is there. It takes two batches at
        once, so that others get some too.
        """
        log = self.log(f"{name}-worker")
        before = log.read_text().count(" ready.") if log.exists() else 0
        self.worker(f"{name}-worker", "--concurrency", "2")
        wait_until(
            lambda: log.read_text().count(" ready.") > before, f"the {name} worker is there", seconds=60
        )

    def states(self, campaign_id: str) -> dict[str, str]:
        """Each phone's state, by this release's export."""
        return {line["phone"]: line["state"] for line in self.export(campaign_id)}

    def totals(self, campaign_id: str) -> dict[str, int]:
        """By this release's status: what is not none."""
        totals = self.json("status", campaign_id)["totals"]
        return {state: count for state, count in totals.items() if count}

    def listed(self) -> dict[str, str]:
        """The state of each campaign, by this release's list."""
        return {line["id"]: line["state"] for line in self.json("list")}


class Rollout:
    """The release that runs, the one that comes, and what they run on."""

    def __init__(
        self, directory: Path, settings: Mapping[str, str], old: Path | None, new: Path | None
    ) -> None:
        self.old = Release(directory, settings, old)
        self.new = Release(directory, settings, new)

    def begin(self, *simulator: str) -> str:
        """Start the simulator. Gives its URL."""
        url = self.new.simulator(*simulator)
        account = {"REQUESTS_PER_SECOND": "12", "MAX_RECIPIENTS_PER_REQUEST": "10"}
        self.new.settings |= {f"ACCOUNTS__MAIN__{name}": value for name, value in account.items()}
        self.old.settings |= self.new.settings
        return url

    @property
    def database_url(self) -> str:
        """What both work on."""
        return self.new.settings["DATABASE_URL"]

    async def fetch(self, query: str) -> list[asyncpg.Record]:
        """Ask the database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    async def hands_over(self, release: Release, name: str) -> None:
        """Wait until requests of this worker are under way."""
        pid = str(release.pid(f"{name}-worker"))
        connection = await asyncpg.connect(self.database_url)
        try:
            await until(
                lambda: connection.fetch(_HANDS_OVER, pid),
                f"the {name} worker has messages in flight",
                every=0.02,
            )
        finally:
            await connection.close()


@contextmanager
def rollout(
    directory: Path, settings: Mapping[str, str], *, old: Path | None = None, new: Path | None = None
) -> Iterator[Rollout]:
    """From the tree `old` to the tree `new`; None: this checkout. Everything ends with the block."""
    both = Rollout(directory, settings, old, new)
    try:
        yield both
    finally:
        both.old.end()
        both.new.end()
