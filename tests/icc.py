"""ICC profiles for tests, made tag by tag (ICC.1:2001-04, version 2)."""

from __future__ import annotations

import numpy as np

# Columns: red, green, blue in XYZ, adapted to D50.
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


def rgb_profile(
    primaries: tuple[tuple[float, ...], ...], curve: np.ndarray, *, code_points: bytes = b""
) -> bytes:
    """A matrix and a curve for all three: linear light of as many signals, evenly spaced."""
    tags = {name: _xyz(*xyz) for name, xyz in zip(("rXYZ", "gXYZ", "bXYZ"), primaries, strict=True)}
    tags |= dict.fromkeys(("rTRC", "gTRC", "bTRC"), _curve(curve))
    if code_points:  # primaries, transfer, matrix, full range
        tags["cicp"] = b"cicp" + bytes(4) + code_points
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(curve: np.ndarray) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {"kTRC": _curve(curve)})


def cmyk_profile(corners: np.ndarray) -> bytes:
    """Of a press whose solids are these: Lab [2, 2, 2, 2, 3] by cyan, magenta, yellow, black."""
    scaled = np.round((corners + np.array([0, 128, 128])) * [2.55, 1, 1]).astype(np.uint8)
    identity = bytes(range(256))
    unit = b"".join(_fixed(float(i == j)) for i in range(3) for j in range(3))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + unit
    table += identity * 4 + scaled.tobytes() + identity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {"A2B0": table})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[str, bytes]) -> bytes:
    text = b"made for a test\0"
    tags = tags | {
        "desc": b"desc" + bytes(4) + _number(len(text)) + text + bytes(78),
        "cprt": b"text" + bytes(4) + text,
        "wtpt": _xyz(0.9642, 1.0, 0.8249),
    }
    at, table, contents = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name.encode() + _number(at + len(contents)) + _number(len(content))
        contents += content + bytes(-len(content) % 4)
    head = bytes(4) + _number(0x02400000) + kind + space + connection + bytes(12) + b"acsp"
    head += bytes(28) + _fixed(0.9642) + _fixed(1.0) + _fixed(0.8249)
    rest = head.ljust(124, b"\0") + _number(len(tags)) + table + contents
    return _number(4 + len(rest)) + rest


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _curve(light: np.ndarray) -> bytes:
    values = np.round(65535 * light).astype(">u2").tobytes()
    return b"curv" + bytes(4) + _number(len(light)) + values


def _fixed(value: float) -> bytes:
    return round(value * 65536).to_bytes(4, "big", signed=True)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")
