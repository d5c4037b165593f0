"""What a file is, by its first bytes: endings lie, and phones write pictures of many kinds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from data_pipeline.datasets.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_HEAD = 512  # bytes
_IMAGES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    *(b"GIF87a", b"GIF89a"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, BigTIFF
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),  # JPEG 2000
)
_VIDEOS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    *(b"\0\0\x01\xba", b"\0\0\x01\xb3"),  # MPEG programme and elementary stream
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMV
)
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes of a BMP's second header
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip"}  # QuickTime files of before 2001


def kind_of(path: Path) -> str:
    """What a regular file holds by its first bytes, else by its ending.

    Returns:
      "image" (moving ones too), "video", or "" where neither tells.

    Raises:
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        kind = kind_of_bytes(file.read(_HEAD))
    if kind:
        return kind
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    return "video" if suffix in VIDEO_SUFFIXES else ""


def kind_of_bytes(head: bytes) -> str:
    """What a file of this beginning is: "image", "video", or ""."""
    if head.startswith(_IMAGES) or is_heif(head) or _brands(head) & _AVIF_BRANDS:
        return "image"
    if head[:4] == b"RIFF":
        return {b"WEBP": "image", b"AVI ": "video"}.get(head[8:12], "")
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "image"
    brands = _brands(head)
    if head.startswith(_VIDEOS) or (brands and head[8:12] not in _AUDIO_BRANDS):
        return "video"
    packets = (head[start : start + 2 * size + 1 : size] for start, size in ((0, 188), (4, 192)))
    transport_stream = b"\x47" * 3 in packets
    return "video" if transport_stream or head[4:8] in _ATOMS else ""


def is_heif(head: bytes) -> bool:
    """Whether these first bytes are of a HEIF picture that Pillow alone does not read: HEIC."""
    brands = _brands(head)
    return bool(brands & _HEIF_BRANDS) and not brands & _AVIF_BRANDS


def why_no_file(path: Path) -> str:
    """Why a path is no file that can be read: "a named pipe, no file", …; "" where it is one."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "no such file"
    except (OSError, ValueError) as error:  # a name too long, a NUL in it
        return getattr(error, "strerror", None) or str(error)
    if stat.S_ISREG(mode):
        return ""
    names = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return f"{names.get(stat.S_IFMT(mode), 'something else')}, no file"


def _brands(head: bytes) -> set[bytes]:
    """Of the first box of an ISO base media file: what it says it can be read as."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(max(int.from_bytes(head[:4], "big"), 12), len(head))
    return {head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))}
