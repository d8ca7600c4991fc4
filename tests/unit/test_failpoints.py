"""The chaos scenarios wrap functions of the product: each must be there under the name that they know."""

import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.hurt_worker import ON_THE_WIRE


def test_every_failpoint_finds_what_it_wraps(tmp_path: Path) -> None:
    told = {"HURT_AT": f"{ON_THE_WIRE}:stop:1/1", "HURT_RECORD": str(tmp_path / "record"), "HURT_SEED": "1"}
    wrapped = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; from tests.chaos.hurt_worker import _Failpoint;"
            " _Failpoint.read(os.environ['HURT_AT']).wrap()",
        ],
        env=os.environ | told,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrapped.returncode == 0, wrapped.stderr
