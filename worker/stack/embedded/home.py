"""Where the servers' data and programs are if the Unix user that runs them cannot reach root's own folder.

In a private home that user cannot reach the data, and opening the home would let everybody in. The data is
then in a folder of its own, found again by the same rule from the same DATA_DIR. So are copies of programs
from a virtual environment that the user cannot reach.
"""

import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from worker.stack.embedded.errors import EmbeddedUnavailable
from worker.stack.embedded.users import UnixUser, blocked, can_use, unix_user_for

# Not /var/lib/campaigns, which an installation of the product may be the home of.
OWN = Path("/var/lib/campaigns-embedded")

_PASSABLE = 0o711  # root's, so that nobody else puts anything in it; what is in it is closed by itself
_LONGEST_NAME = 40  # characters of a directory's name


def home_of(data_dir: Path) -> Path:
    """The folder that holds the data of DATA_DIR: itself, or one in OWN if root's servers cannot get there.

    Data that is there already stays where it is, whatever became of the directories above it. Makes nothing.
    Raises EmbeddedUnavailable.
    """
    if os.geteuid() != 0 or any(_is_there(data_dir / name) for name in ("postgres", "redis")):
        return data_dir
    apart = _apart(data_dir.resolve())
    if _is_there(apart):
        return apart
    closed = blocked(data_dir.resolve() / "postgres", unix_user_for(data_dir))
    return data_dir if closed is None else apart


def make(home: Path) -> None:
    """Make the folder that holds the data, and what is missing above it. What was there keeps its mode.

    Raises EmbeddedUnavailable, OSError.
    """
    if os.geteuid() != 0:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    _make_passable(home)
    if home.parent == OWN:
        _check_own()


def within_reach(site: Path, parts: Sequence[str], program: str, unix_user: UnixUser | None) -> Path:
    """The folder from which `account` can run `program`: `site`, or a copy of its `parts` in OWN.

    Takes folders of `site`, and a program in one of them by which a copy is known: each release is copied
    once. Raises EmbeddedUnavailable. Any number at once.
    """
    there = [part for part in parts if (site / part).exists()]
    if all(can_use(site / part, unix_user) for part in there):
        return site
    try:
        with (site / program).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        copy = OWN / f"programs-{digest}"
        _make_passable(OWN)
        _check_own()
        lock = os.open(OWN / "programs.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not copy.exists():
                _copy(site, there, copy)
        finally:
            os.close(lock)
    except OSError as error:
        raise EmbeddedUnavailable(
            f"The servers' account cannot reach the programs in {site}, and they cannot be copied to {OWN} "
            f"({error.strerror or 'not every file could be read or written'}): install them where it can, "
            "or run this as an ordinary user."
        ) from error
    return copy


def _apart(data_dir: Path) -> Path:
    """The folder in OWN for this DATA_DIR: a name for people, and a digest that makes it the only one."""
    named = data_dir.parent if data_dir.name.startswith(".") else data_dir  # .campaigns says nothing
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", named.name)[:_LONGEST_NAME] or "data"
    return OWN / f"{name}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # what cannot be looked at may be data
        return True


def _make_passable(directory: Path) -> None:
    for path in reversed((directory, *directory.parents)):
        if path.is_dir():
            continue
        try:
            path.mkdir(mode=_PASSABLE if path in (directory, OWN) else 0o777)
        except FileExistsError:  # made by another command meanwhile, or a file: whoever uses it will see
            continue
        path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o011)  # whatever the umask took


def _check_own() -> None:
    found = OWN.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise EmbeddedUnavailable(
            f"{OWN} is no directory that root alone may write to: move it away, "
            "or name another directory by CAMPAIGNS_DATA_DIR that the servers' account can pass."
        )


def _copy(site: Path, parts: Sequence[str], copy: Path) -> None:
    """Copy for everybody to read, whole or not at all. The caller holds the lock."""
    new = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a copy that was killed
    try:
        for part in parts:
            shutil.copytree(site / part, new / part)  # links into an installer's cache become files
        for folder, _, files in os.walk(new):
            Path(folder).chmod(0o755)
            for path in (Path(folder, name) for name in files):
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        os.sync()  # once; a copy that is there must be whole also after the power went
        new.rename(copy)
    finally:
        shutil.rmtree(new, ignore_errors=True)
