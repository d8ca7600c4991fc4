"""Ask the OSV database about every package of the lock files. Exit code 1: one has a known hole.

Without the network nobody can be asked: that is a warning, not a failure. Usage: python .ci/audit.py LOCK…
"""

import json
import os
import re
import sys
import urllib.request
from pathlib import Path

URL = os.environ.get("OSV_URL", "https://api.osv.dev")

# Holes that cannot be met here, each with its reason: id -> why.
KNOWN: dict[str, str] = {}

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def pinned(locks: list[Path]) -> list[tuple[str, str]]:
    """Every package and version of these lock files, once."""
    return sorted({found for lock in locks for found in _PINNED.findall(lock.read_text())})


def holes(packages: list[tuple[str, str]]) -> dict[str, list[str]]:
    """What is known against them: `name version` -> ids. Raises OSError when nobody answers."""
    asked = [
        {"package": {"ecosystem": "PyPI", "name": name}, "version": version} for name, version in packages
    ]
    body, headers = json.dumps({"queries": asked}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/v1/querybatch", body, headers)  # noqa: S310  our own address
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  the line above
        results = json.loads(answer.read())["results"]
    found = {}
    for (name, version), result in zip(packages, results, strict=True):
        ids = [each["id"] for each in result.get("vulns", []) if each["id"] not in KNOWN]
        if ids:
            found[f"{name} {version}"] = ids
    return found


def main() -> int:
    """Ask, and say what was found."""
    packages = pinned([Path(name) for name in sys.argv[1:]])
    try:
        found = holes(packages)
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"warning: {len(packages)} packages were not checked for known holes: {error}\n")
        return 0
    for package, ids in found.items():
        sys.stderr.write(f"{package} has known holes: {', '.join(ids)}\n")
    sys.stdout.write(f"{len(packages)} packages checked for known holes, {len(found)} have any\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
