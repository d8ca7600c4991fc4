"""The Unix user that runs the servers when we are root, and what it must be able to reach.

PostgreSQL refuses to run as root. If root starts it, it runs as an unprivileged user, and so does Redis. For
everybody else the servers run as the user who starts them, and nothing here is needed.
"""

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from worker.stack.embedded.errors import EmbeddedUnavailable

_SEARCH = 0o1
_READ = 0o4


@dataclass(frozen=True, slots=True)
class UnixUser:
    """An unprivileged user of this machine."""

    uid: int
    gid: int
    name: str


def unix_user_for(data_dir: Path) -> UnixUser | None:
    """The account that runs the servers of `data_dir`, or None for oneself.

    Who owns the data already keeps it, so that a directory filled by one account is never opened by
    another; then the owner of `data_dir`; then `postgres`, then `nobody`. Raises EmbeddedUnavailable.
    """
    if os.geteuid() != 0:
        return None
    for directory in (data_dir / "postgres", data_dir / "redis", data_dir):
        try:
            owner = directory.stat().st_uid
            if owner != 0:
                return _unix_user(pwd.getpwuid(owner))
        except (FileNotFoundError, KeyError):  # not made yet, or its owner has no account here
            continue
    for name in ("postgres", "nobody"):
        try:
            return _unix_user(pwd.getpwnam(name))
        except KeyError:
            continue
    raise EmbeddedUnavailable(
        "PostgreSQL does not run as root and there is neither an account postgres nor nobody: "
        "run this as an ordinary user."
    )


def _unix_user(entry: pwd.struct_passwd) -> UnixUser:
    return UnixUser(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name)


def belongs(directory: Path, unix_user: UnixUser | None) -> bool:
    """Whether `directory` is one, no link to one, and ours or that of `account`."""
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return False
    ours = {os.geteuid(), unix_user.uid if unix_user else os.geteuid()}
    return stat.S_ISDIR(found.st_mode) and found.st_uid in ours


def make_private(directory: Path, unix_user: UnixUser | None) -> None:
    """Make `directory` (its parent exists) one that only its owner can enter, or take an own one over.

    Raises EmbeddedUnavailable when it belongs to somebody else or is no directory: under a shared
    directory such as /tmp another user may have put it there first.
    """
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not belongs(directory, unix_user):
            raise EmbeddedUnavailable(
                f"{directory} belongs to somebody else or is no directory: remove it, "
                "or set TMPDIR to a directory of your own."
            ) from None
        directory.chmod(0o700)
    give(directory, unix_user)


def give(path: Path, unix_user: UnixUser | None) -> None:
    """Make `path` belong to `account`; nothing to do for oneself."""
    if unix_user is not None:
        os.chown(path, unix_user.uid, unix_user.gid, follow_symlinks=False)


def blocked(path: Path, unix_user: UnixUser | None) -> Path | None:
    """The first directory above `path` that `account` cannot pass, or None.

    Only what is there counts: what we make later, it will be able to pass.
    """
    if unix_user is None:
        return None
    for directory in reversed(path.parents):
        if not directory.is_dir():
            return None
        if not _may(directory, unix_user, _SEARCH) and not _enters(directory, unix_user):
            return directory
    return None


def check_path(path: Path, unix_user: UnixUser | None, mend: str) -> None:
    """See that `account` can pass every directory above `path`; changes none of them.

    Raises EmbeddedUnavailable, which ends with `mend`: to open a private directory is not for us to do.
    """
    closed = blocked(path, unix_user)
    if closed is not None and unix_user is not None:
        raise EmbeddedUnavailable(
            f"The account {unix_user.name}, which runs PostgreSQL when we are root, cannot pass {closed} "
            f"on the way to {path}: {mend}, or run this as an ordinary user."
        )


def can_use(top: Path, unix_user: UnixUser | None) -> bool:
    """Whether `account` can read everything under `top`, and run what its owner may run.

    Installed under a strict umask, the files of a wheel are readable by nobody but root.
    """
    if unix_user is None:
        return True
    if blocked(top, unix_user) is not None or not _may(top, unix_user, _SEARCH | _READ):
        return False
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = Path(folder, name)
            real = path.resolve() if path.is_symlink() else path
            if real != path and blocked(real, unix_user) is not None:  # linked out of an installer's cache
                return False
            runs = real.stat().st_mode & stat.S_IXUSR
            if not _may(real, unix_user, _READ | _SEARCH if runs else _READ):
                return False
    return True


def _may(path: Path, unix_user: UnixUser, wanted: int) -> bool:
    """Whether `account` has the rwx bits `wanted` on `path`, in its one class of owner, group, others."""
    found = path.stat()
    shift = 6 if found.st_uid == unix_user.uid else 3 if found.st_gid == unix_user.gid else 0
    return not wanted & ~(found.st_mode >> shift)


def _enters(directory: Path, unix_user: UnixUser) -> bool:
    """Whether a process of `account` gets in: an access list may allow what the mode does not."""
    try:
        done = subprocess.run(  # noqa: S603  fixed program
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd="/",
            env={},
            user=unix_user.uid,
            group=unix_user.gid,
            extra_groups=[],
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
