"""Files that are there whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.files import (
    InUseError,
    atomic_file,
    atomic_folder,
    atomic_path,
    cache_folder,
    locked,
    write_csv,
    write_json,
)


class Failed(Exception):
    pass


def write_text(path: Any) -> None:
    with atomic_file(path) as file:
        file.write("half")
        raise Failed


def write_bytes(path: Any) -> None:
    with atomic_file(path, "wb") as file:
        file.write(b"half")
        raise Failed


def write_by_name(path: Any) -> None:
    with atomic_path(path) as temporary:
        assert temporary.suffix == path.suffix and temporary.parent == path.parent
        temporary.write_text("half")
        raise Failed


def write_unfit_json(path: Any) -> None:
    try:
        write_json(path, {"auc": float("nan")})
    except ValueError as error:
        raise Failed from error


def write_rows(path: Any) -> None:
    def rows() -> Iterator[Any]:
        yield ["half"]
        raise Failed

    write_csv(path, ["column"], rows())


@pytest.mark.parametrize(
    "write", [write_text, write_bytes, write_by_name, write_unfit_json, write_rows]
)
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(
    write: Any, tmp_path: Path
) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(Failed):
        write(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    path.unlink()
    with pytest.raises(Failed):
        write(path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_appears_at_the_end_and_is_as_readable_as_its_neighbours(tmp_path: Path) -> None:
    neighbour = tmp_path / "made" / "neighbour"
    path = tmp_path / "made" / "file"
    with atomic_file(path) as file:
        file.write("ä\n")
        assert not path.exists()
    neighbour.touch()
    assert path.read_bytes() == "ä\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(neighbour.stat().st_mode)


def test_json_and_csv_are_read_back(tmp_path: Path) -> None:
    value = {"name": "ä\udcff", "list": [1, None, 0.1]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value
    rows = [["a, b", "1"], ["\udcff", "line\nline"]]
    write_csv(tmp_path / "a.csv", ["name", "n"], rows)
    with open(tmp_path / "a.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert list(csv.reader(file)) == [["name", "n"], *rows]
    assert b"\r" not in (tmp_path / "a.csv").read_bytes()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out" / "exported"
    with pytest.raises(Failed), atomic_folder(path) as folder:
        (folder / "part").touch()
        raise Failed
    assert list(path.parent.iterdir()) == []
    with atomic_folder(path) as folder:
        (folder / "part").touch()
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["part"]
    with pytest.raises(FileExistsError, match="is there already; give another"):
        with atomic_folder(path):
            pytest.fail("entered")
    assert os.listdir(path.parent) == ["exported"]


def test_one_folder_holds_what_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MATNET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "matnet_jax"
    monkeypatch.setenv("MATNET_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b"):
        with pytest.raises(InUseError, match=rf"b is in use by process {os.getpid()} on ") as held:
            with locked(tmp_path / "a" / "b"):
                pass
        assert held.value.owner.startswith(f"process {os.getpid()} on ")
    with locked(tmp_path / "a" / "b"):
        pass  # free again


def test_a_file_system_without_locks_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path), locked(tmp_path):
        pass
