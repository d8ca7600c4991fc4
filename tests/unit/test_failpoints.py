"""The chaos scenarios wrap functions of the product: each must be there under the name that they know."""

import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.failing_worker import ON_THE_WIRE


def test_every_failpoint_finds_what_it_wraps(tmp_path: Path) -> None:
    told = {"FAIL_AT": f"{ON_THE_WIRE}:stop:1/1", "FAIL_RECORD": str(tmp_path / "record"), "FAIL_SEED": "1"}
    wrapped = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; from tests.chaos.failing_worker import _Failpoint;"
            " _Failpoint.read(os.environ['FAIL_AT']).wrap()",
        ],
        env=os.environ | told,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrapped.returncode == 0, wrapped.stderr
