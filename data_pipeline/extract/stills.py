"""Frames that somebody has extracted: a folder of images, an archive of them, or one image."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from data_pipeline.datasets.files import IMAGE_SUFFIXES
from data_pipeline.extract.frames import Broken, Frame, FrameStream, VideoError, evenly_spread
from data_pipeline.training.decode import decode_image
from data_pipeline.training.errors import DataError

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_RATE = 25.0  # frames a second: stills do not tell


def open_image(path: Path) -> FrameStream:
    """The one frame of an image file."""
    return FrameStream(path, [0], lambda: _decode(path.name, [(0, path.read_bytes())]))


def open_folder(path: Path, count: int) -> FrameStream:
    """Frames spread evenly over the images in and below a folder, in the order of their numbers.

    Raises:
      VideoError: there are none.
    """
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    names = _in_order(files, path)
    chosen = [names[i] for i in evenly_spread(len(names), count)]
    numbers = _numbers(names)

    def read() -> Iterator[Frame]:
        return _decode(path.name, ((numbers[name], files[name].read_bytes()) for name in chosen))

    return FrameStream(path, [numbers[name] for name in chosen], read)


def open_archive(path: Path, count: int) -> FrameStream:
    """As `open_folder`, of a tar file; only the chosen images are decoded.

    Raises:
      VideoError: it is no readable archive, or holds no images.
    """
    try:
        with tarfile.open(path) as archive:
            names = _in_order([member.name for member in archive if member.isfile()], path)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise VideoError(f"{path} is not a whole tar archive: {error}") from error
    chosen = [names[i] for i in evenly_spread(len(names), count)]
    numbers = _numbers(names)

    def read() -> Iterator[Frame]:
        with tarfile.open(path) as archive:
            data = {m.name: _content(archive, m) for m in archive if m.name in set(chosen)}
        return _decode(path.name, [(numbers[name], data[name]) for name in chosen])

    return FrameStream(path, [numbers[name] for name in chosen], read)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


def _in_order(names: Iterable[str], path: Path) -> list[str]:
    images = [name for name in names if PurePath(name).suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise VideoError(f"{path} holds no images ({known})")
    return sorted(images, key=_natural)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts img2 before img10."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _numbers(names: list[str]) -> dict[str, int]:
    """The numbers in the names, where each image has one of its own; else positions."""
    found = [re.findall(r"\d+", PurePosixPath(name).stem) for name in names]
    numbers = [int(digits[-1]) if digits else -1 for digits in found]
    if len(set(numbers)) < len(names) or min(numbers) < 0:
        numbers = list(range(len(names)))
    return dict(zip(names, numbers, strict=True))


def _decode(where: str, files: Iterable[tuple[int, bytes]]) -> Iterator[Frame]:
    bad: list[int] = []
    for number, data in files:
        try:
            image = decode_image(data)
        except DataError:
            bad.append(number)
        else:
            yield Frame(number, number / _RATE, image)
    if bad:
        shown = ", ".join(map(str, bad[:5]))
        raise Broken(f"damaged images in {where}: frame {shown}")
