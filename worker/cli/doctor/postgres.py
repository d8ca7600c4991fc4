"""PostgreSQL: its version and settings, our role's rights, the schema."""

from campaigns.store import schema, server
from campaigns.store.session import Database
from worker.cli.doctor.findings import Finding, fail, note, ok


async def database(opened: Database, where: str) -> list[Finding]:
    """The server, our role in it, and a pooler between, if there is one."""
    found = await server.look(opened)
    lacks = [fail("database", sentence) for sentence in found.lacks()]
    name = f"PostgreSQL {found.version}, {where}, as {found.role}"
    return [*(lacks or [ok("database", name)]), *(note("database", each) for each in found.remarks())]


async def revision(opened: Database) -> list[Finding]:
    """Whether the schema is this code's, and whether its functions are this release's."""
    revision = await schema.check(opened)
    if revision != schema.head():
        return [
            ok("schema", revision),
            note(
                "schema",
                f"it is newer than this code ({schema.head()}), which may work on it: right while a newer "
                "release is rolled out",
            ),
        ]
    found = [ok("schema", revision)]
    if differing := await schema.differing_functions(opened):
        found.append(
            note(
                "schema",
                f"the database's functions are not this release's ({', '.join(differing)}): right while a "
                "newer one is rolled out; else run: campaigns migrate",
            )
        )
    return found
