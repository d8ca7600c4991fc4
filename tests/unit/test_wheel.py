"""What is no Python is in the wheel all the same: what the code reads beside itself."""

from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_every_file_that_is_read_at_run_time() -> None:
    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    read = {
        str(path.relative_to(ROOT))
        for package in ("campaigns", "worker")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".sql", ".lua", ".mako", ".py", ".html", ".css", ".js", ".svg", ".po"}
    }
    assert len({path for path in read if path.endswith(".sql")}) >= 10
    assert read - packed == set()
