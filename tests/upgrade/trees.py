"""Trees of other releases: the one before, out of git, and one after, made of this checkout."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from campaigns.store import schema

ROOT = Path(__file__).parents[2]
_PARTS = ("campaigns", "worker", "simulator", "celeryconfig.py")


def previous(into: Path) -> Path:
    """What `previous_release` names, taken out of git. Skips, with the reason, where git does not have it."""
    lines = (Path(__file__).parent / "previous_release").read_text().splitlines()
    (commit,) = [line for line in lines if line and not line.startswith("#")]
    try:
        archived = subprocess.run(
            ["git", "-C", str(ROOT), "archive", commit, "--", *_PARTS],  # noqa: S607  the git of the path
            capture_output=True,
            check=False,
        )
    except OSError as error:
        pytest.skip(f"the release before cannot be had: there is no git ({error})")
    if archived.returncode != 0:
        said = archived.stderr.decode().strip().replace("\n", " ")
        pytest.skip(
            f"the release before ({commit[:12]}) is not in this checkout's history: {said}; "
            "a clone that has it runs this (git fetch --unshallow)"
        )
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(into, filter="data")
    return into


def following(into: Path) -> Path:
    """This checkout as its next release might be: with a message state more, and with who released a batch, a
    new column that is filled from a new field of a function's parameter.
    """
    for part in _PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, into / part)
    for name, changes in _CHANGES.items():
        path = into / name
        text = path.read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, f"{name} has another text: mend this test's idea of it: {old}"
            text = text.replace(old, new)
        path.write_text(text)
    head = schema.head()
    following = f"{int(head) + 1:04}"
    migration = _MIGRATION.replace("HEAD", head).replace("FOLLOWING", following)
    (into / f"campaigns/store/migrations/versions/{following}_add_clicks.py").write_text(migration)
    return into


# By file: what stands there, and what the next release has instead.
_CHANGES = {
    "campaigns/domain/states.py": {
        '    READ = "read"  # and was read\n': (
            '    READ = "read"  # and was read\n    CLICKED = "clicked"  # and its link was opened\n'
        ),
        "        MessageState.READ,\n    }\n": (
            "        MessageState.READ,\n        MessageState.CLICKED,\n    }\n"
        ),
    },
    "campaigns/store/tally.py": {
        '        "asks_doubt": how.asks_doubt,\n': (
            '        "asks_doubt": how.asks_doubt,\n        "released_by": "the next release",\n'
        ),
    },
    "campaigns/store/functions/let_go_batches.sql": {
        "        trouble = g.trouble\n": (
            "        trouble = g.trouble,\n"
            "        released_by = concat_ws(', ', b.released_by,"
            " coalesce(g.released_by, 'a release before'))\n"
        ),
        "asks_doubt boolean\n": "asks_doubt boolean, released_by text\n",
    },
}

_MIGRATION = """
from alembic import op

revision, down_revision = "FOLLOWING", "HEAD"

OLDEST_CODE = "HEAD"

ACCEPTED = {"ban-drop-constraint": "the same CHECK comes back at once, with the new column"}


def upgrade() -> None:
    op.execute("ALTER TYPE message_state ADD VALUE 'clicked' AFTER 'read'")
    op.execute("ALTER TABLE batch ADD COLUMN clicked_count smallint DEFAULT 0 NOT NULL")
    op.execute("ALTER TABLE batch ADD COLUMN released_by text")
    op.execute("ALTER TABLE batch DROP CONSTRAINT batch_tally_sums_check")
    op.execute(
        "ALTER TABLE batch ADD CONSTRAINT batch_tally_sums_check CHECK ("
        " suppressed_count + cancelled_count + queued_count + sending_count + in_doubt_count + accepted_count"
        " + sent_count + buffered_count + unknown_count + expired_count + undelivered_count + failed_count"
        " + rejected_count + delivered_count + read_count + clicked_count = message_count) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE batch VALIDATE CONSTRAINT batch_tally_sums_check")
"""
