"""Files and folders that are there whole or not at all, and folders that one process writes to.

A reader, or a rerun after a kill, sees the old file or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)  # as Lustre without its option flock


class InUseError(OSError):
    """Another process holds the folder.

    Attributes:
      owner: which one, for messages.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(
            f"{folder} is in use by {owner}; wait for it, stop it, or give another folder"
        )
        self.owner = owner


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Makes `folder` and holds it against every other process that asks for it in this way.

    The lock ends with the process, however it ends; nothing has to be cleaned up after a kill. A
    file system that knows no locks holds nothing.

    Raises:
      InUseError: another process holds it.
      OSError: the folder can't be made or written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise InUseError(folder, lock.read().strip() or "another process") from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        yield


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike, *, suffix: str | None = None) -> Iterator[Path]:
    """A path beside `path` for what is to become `path` when the block ends.

    For libraries that open a file by its name; else see `atomic_file`. The folder is made. If the
    block raises, what was there before stays, and nothing else does.

    Args:
      path: the file to be.
      suffix: of the other path; by default the file's own, since libraries choose the format by it.

    Raises:
      OSError: the folder can't be made or written to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, path.suffix if suffix is None else suffix)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_file(
    path: str | os.PathLike, mode: str = "w", *, errors: str | None = None
) -> Iterator[IO[Any]]:
    """An open file that appears under `path` when the block ends, or not at all.

    Args:
      path: its folder is made.
      mode: "w" for UTF-8 text, in which newlines stay as they are written, or "wb" for bytes.
      errors: of the encoding, as `open` takes it.

    Raises:
      OSError: the file can't be written.
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "", "errors": errors}
    with (
        # Under a suffix of its own, so that what a kill leaves is not taken for a finished file.
        atomic_path(path, suffix=".tmp") as temporary,
        open(temporary, mode.replace("w", "x"), **text) as file,  # type: ignore[call-overload]
    ):
        yield file


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """A new folder to fill, which appears under `path` when the block ends, or not at all.

    Raises:
      FileExistsError: `path` is there already.
      OSError: the folder can't be made.
    """
    path = Path(path).absolute()
    if path.exists():
        raise FileExistsError(f"{path} is there already; give another folder, or remove it")
    temporary = _beside(path, path.suffix)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes a value as JSON, indented.

    Raises:
      ValueError: a number is NaN or infinite, which JSON does not know.
      TypeError: a value is of no type JSON knows.
      OSError: the file can't be written.
    """
    text = json.dumps(value, indent=2, allow_nan=False)
    with atomic_file(path) as file:
        file.write(text + "\n")


def write_csv(
    path: str | os.PathLike, header: Iterable[Any], rows: Iterable[Iterable[Any]]
) -> None:
    """Writes a table, lines ended by a newline alone.

    Raises:
      OSError: the file can't be written.
    """
    # File names may be bytes that are no UTF-8: they stay what they are.
    with atomic_file(path, errors="surrogateescape") as file:
        file.writelines(csv_line(values) for values in (header, *rows))


def csv_line(values: Iterable[Any]) -> str:
    """One row of a table as text, ended by a newline alone."""
    text = io.StringIO()
    csv.writer(text).writerow(values)  # ends it by \r\n, and so quotes what has either in it
    return text.getvalue().removesuffix("\r\n") + "\n"


def cache_folder() -> Path:
    """Where downloads and compiled programs are kept; may be deleted at any time.

    ``$MATNET_CACHE``, or ``matnet_jax`` in the user's cache folder (``$XDG_CACHE_HOME``, else
    ``~/.cache``).
    """
    if os.environ.get("MATNET_CACHE"):
        return Path(os.environ["MATNET_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matnet_jax"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}{suffix}")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
