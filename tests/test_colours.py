"""Stills of wide gamut and high dynamic range come out in sRGB, as a browser shows them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import heif
import icc
import light
import numpy as np
import pytest
from PIL import Image, ImageCms

from data_pipeline.extract.code_points import CodePoints, code_points
from data_pipeline.extract.frames import VideoError
from data_pipeline.extract.hdr import BT2020, DISPLAY_P3, HLG, PQ
from data_pipeline.extract.images import decode_still
from data_pipeline.extract.limits import Limits

SIGNAL = np.arange(4096) / 4095
SRGB_LIGHT = np.where(SIGNAL <= 0.04045, SIGNAL / 12.92, ((SIGNAL + 0.055) / 1.055) ** 2.4)
# Patches of 32 pixels: greys, a skin, a red and a green within sRGB.
COLOURS = np.array(
    [[20, 20, 20], [128, 128, 128], [230, 230, 230], [224, 172, 140], [200, 40, 40], [60, 160, 70]],
    np.uint8,
)
PICTURE = np.kron(COLOURS.reshape(2, 3, 3), np.ones((32, 32, 1), np.uint8))


def decoded(data: bytes) -> np.ndarray:
    """The middles of the patches: uint8 [6, 3]."""
    image = decode_still(data, Limits())
    assert image.dtype == np.uint8 and image.shape == PICTURE.shape
    return image[16::32, 16::32].reshape(-1, 3)


def away(data: bytes) -> int:
    return int(np.abs(decoded(data).astype(int) - COLOURS).max())


def encoded(image: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        file, kind, **options
    )
    return file.getvalue()


def to_light(image: np.ndarray) -> np.ndarray:
    return np.interp(image / 255, SIGNAL, SRGB_LIGHT)


def in_p3(image: np.ndarray) -> np.ndarray:
    """SRGB to Display P3, uint8."""
    signal = np.interp(to_light(image) @ light.TO_P3.T, SRGB_LIGHT, SIGNAL)
    return np.round(255 * signal).astype(np.uint8)


def in_adobe_rgb(image: np.ndarray) -> np.ndarray:
    xyz = to_light(image) @ np.array(icc.SRGB)
    linear = xyz @ np.linalg.inv(np.array(icc.ADOBE_RGB))
    return np.round(255 * np.clip(linear, 0, 1) ** (256 / 563)).astype(np.uint8)


P3_PROFILE = icc.rgb_profile(icc.DISPLAY_P3, SRGB_LIGHT)
ADOBE_PROFILE = icc.rgb_profile(icc.ADOBE_RGB, SIGNAL ** (563 / 256))


@pytest.mark.parametrize(
    ("kind", "options", "most"),
    [
        ("PNG", {}, 3),
        ("TIFF", {}, 3),
        ("WEBP", {"lossless": True}, 3),
        ("JPEG", {"quality": 98}, 6),
        ("AVIF", {"quality": 98}, 6),
    ],
)
def test_profiles_of_wide_gamuts(kind: Any, options: Any, most: Any) -> None:
    for stored, profile in ((in_p3(PICTURE), P3_PROFILE), (in_adobe_rgb(PICTURE), ADOBE_PROFILE)):
        assert away(encoded(stored, kind, icc_profile=profile, **options)) <= most
        assert away(encoded(stored, kind, **options)) > 15, "without a profile it says sRGB"


def test_a_phone_s_heic_in_display_p3() -> None:
    plain = away(heif.heic(PICTURE, tile=64))
    of_profile = heif.heic(in_p3(PICTURE), tile=64, colour=b"prof" + P3_PROFILE)
    assert away(of_profile) <= plain + 3


def test_a_profile_of_srgb_changes_no_number() -> None:
    noise = np.random.default_rng(0).integers(0, 256, PICTURE.shape, dtype=np.uint8)
    theirs = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (theirs, icc.rgb_profile(icc.SRGB, SRGB_LIGHT)):
        data = encoded(noise, "PNG", icc_profile=profile)
        assert np.array_equal(decode_still(data, Limits()), noise)


def test_grey_of_another_curve() -> None:
    grey = np.round(255 * to_light(PICTURE[..., 0])).astype(np.uint8)
    linear = icc.grey_profile(SIGNAL)
    see_through = Image.fromarray(np.stack([grey, grey], -1), "LA")
    deep = np.round(65535 * to_light(PICTURE[..., 0])).astype(np.uint16)
    for stored in (grey, deep, see_through):
        found = decoded(encoded(stored, "PNG", icc_profile=linear))
        off = np.abs(found - COLOURS[:, :1].astype(int))[1:]  # 8 bits of light have no dark greys
        assert off.max() <= 3


def test_of_a_picture_with_a_gain_map_the_picture_is_read() -> None:
    """A JPEG with another behind it, as Ultra HDR has it (CIPA DC-007)."""
    file, gains = io.BytesIO(), Image.fromarray(PICTURE[..., 0])
    Image.fromarray(PICTURE).save(file, "MPO", save_all=True, append_images=[gains], quality=98)
    with Image.open(file) as both:
        assert both.n_frames == 2
    assert away(file.getvalue()) <= 4


def test_a_file_that_is_cut_off_is_not_half_a_picture() -> None:
    whole = encoded(in_p3(PICTURE), "PNG", icc_profile=P3_PROFILE)
    with pytest.raises(VideoError, match="damaged"):
        decode_still(whole[: len(whole) - 60], Limits())


def test_a_press_s_inks() -> None:
    """Solids of each ink by the profile's own Lab, in JPEG (whose inks are inverted) and TIFF."""
    corners = np.zeros((2, 2, 2, 2, 3))
    corners[..., 0] = 20
    solids = {
        (0, 0, 0, 0): (100, 0, 0),
        (1, 0, 0, 0): (60, -20, -30),
        (0, 1, 0, 0): (50, 50, 0),
        (0, 0, 1, 0): (85, -5, 60),
        (0, 0, 0, 1): (15, 0, 0),
        (1, 1, 0, 0): (35, 10, -35),
    }
    for inks, lab in solids.items():
        corners[inks] = lab
    inks = np.array(list(solids), np.uint8).reshape(2, 3, 4) * 255
    picture = Image.fromarray(np.kron(inks, np.ones((32, 32, 1), np.uint8)), "CMYK")
    wanted = lab_to_srgb(np.array(list(solids.values()), float))
    profile = icc.cmyk_profile(corners)
    for kind, options in (("TIFF", {}), ("JPEG", {"quality": 98})):
        found = decoded(encoded(picture, kind, icc_profile=profile, **options))
        assert np.abs(found - wanted).max() <= 4, kind


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """CIE 1976, of D50."""
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1, 0.8249]
    linear = np.clip(xyz @ np.linalg.inv(np.array(icc.SRGB)), 0, 1)
    return np.round(255 * np.interp(linear, SRGB_LIGHT, SIGNAL))


@pytest.mark.parametrize(
    "profile",
    [b"no profile", P3_PROFILE[:300], icc.cmyk_profile(np.zeros((2, 2, 2, 2, 3)))],
    ids=["words", "cut off", "of inks"],
)
def test_a_profile_that_cannot_be_is_left_aside(profile: bytes) -> None:
    assert away(encoded(PICTURE, "PNG", icc_profile=profile)) == 0


def hdr(transfer: int) -> np.ndarray:
    """The picture as a signal of BT.2020: white is 203 cd/m², the screen's gamma 2.4."""
    shown = 203 * (PICTURE / 255.0) ** 2.4 @ light.TO_2020.T
    return {PQ: light.pq, HLG: light.hlg}[transfer](np.maximum(shown, 1e-6))


def avif(signal: np.ndarray, path: Path, *, transfer: int, bits: int, primaries: int) -> bytes:
    with av.open(str(path), "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=1)
        stream.height, stream.width = signal.shape[:2]
        stream.pix_fmt = light.pixel_format(bits)
        stream.options = {"preset": "10", "crf": "4", "svtav1-params": "lp=1"}
        context = stream.codec_context
        context.color_primaries, context.color_trc = primaries, transfer
        context.colorspace, context.color_range = 9, 1
        container.mux(stream.encode(light.frame(signal, bits)))
        container.mux(stream.encode())
    return path.read_bytes()


DARKER = [0, 1, 3, 4, 5]  # the third patch is so light that the tone curve bends it


def check_hdr(data: bytes, most: int) -> None:
    found = decoded(data).astype(int)
    assert np.abs(found - COLOURS)[DARKER].max() <= most
    assert found[2].min() >= 200 and found[2].max() <= 232


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("bits", [10, 12])
def test_heic_of_high_dynamic_range(transfer: Any, bits: Any) -> None:
    colour = heif.nclx(BT2020, transfer, matrix=9, full_range=False)
    check_hdr(heif.heic(hdr(transfer), tile=64, colour=colour, bits=bits), 4)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_avif_of_high_dynamic_range(tmp_path: Path, transfer: Any) -> None:
    path = tmp_path / "a.avif"
    check_hdr(avif(hdr(transfer), path, transfer=transfer, bits=10, primaries=BT2020), 12)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_png_of_high_dynamic_range(transfer: Any) -> None:
    """By its own code points, which come before a profile, or by the profile's."""
    plain = encoded(np.round(255 * hdr(transfer)).astype(np.uint8), "PNG")
    assert away(plain) > 40
    content = b"cICP" + bytes([BT2020, transfer, 0, 1])
    chunk = struct.pack(">I", 4) + content + struct.pack(">I", zlib.crc32(content))
    check_hdr(plain[:33] + chunk + plain[33:], 12)
    profile = icc.rgb_profile(
        icc.DISPLAY_P3, SRGB_LIGHT, code_points=bytes([BT2020, transfer, 0, 1])
    )
    with Image.open(io.BytesIO(plain)) as picture:
        check_hdr(encoded(picture, "PNG", icc_profile=profile), 12)


def test_primaries_of_code_points(tmp_path: Path) -> None:
    """Display P3 of standard range without a profile; of high range with P3's primaries."""
    colour = heif.nclx(DISPLAY_P3, 13, matrix=6, full_range=True)
    unsaid = heif.nclx(1, 13, matrix=6, full_range=True)
    stored = in_p3(PICTURE)
    as_p3, as_srgb = (
        decoded(heif.heic(stored, tile=64, colour=each)).astype(int) for each in (colour, unsaid)
    )
    light_of = np.interp(as_srgb / 255, SIGNAL, SRGB_LIGHT) @ np.linalg.inv(light.TO_P3).T
    wanted = 255 * np.interp(np.clip(light_of, 0, 1), SRGB_LIGHT, SIGNAL)
    assert np.abs(as_p3 - wanted).max() <= 2 < np.abs(as_p3 - as_srgb).max()

    shown = 203 * (PICTURE / 255.0) ** 2.4 @ light.TO_P3.T
    plain = encoded(np.round(255 * light.pq(shown)).astype(np.uint8), "PNG")
    content = b"cICP" + bytes([DISPLAY_P3, PQ, 0, 1])
    chunk = struct.pack(">I", 4) + content + struct.pack(">I", zlib.crc32(content))
    check_hdr(plain[:33] + chunk + plain[33:], 12)


def test_of_two_images_in_an_avif_the_shown_one_s_count() -> None:
    """A gain map's high dynamic range has code points too."""

    def boxes(*, wide: bool, version: int) -> bytes:
        number = 2 if version == 0 else 4
        mark = 0x8000 if wide else 0x80
        own = [(2, [1, 3]), (1, [1, 2])]  # item, properties
        ipma = len(own).to_bytes(4, "big")
        for item, properties in own:
            ipma += item.to_bytes(number, "big") + bytes([len(properties)])
            ipma += b"".join((mark | n).to_bytes(1 + wide, "big") for n in properties)
        colours = [heif.nclx(p, t, matrix=9, full_range=True) for p, t in ((12, 13), (9, 16))]
        ipco = heif.box(b"ispe", bytes(12)) + b"".join(heif.box(b"colr", c) for c in colours)
        association = heif.box(b"ipma", bytes([version, 0, 0, wide]) + ipma)
        iprp = heif.box(b"iprp", heif.box(b"ipco", ipco) + association)
        pitm = heif.box(b"pitm", bytes(4) + b"\0\1")
        return heif.box(b"ftyp", b"avif" + bytes(4)) + heif.box(b"meta", bytes(4) + pitm + iprp)

    picture: Any = SimpleNamespace(format="AVIF", info={})
    for wide in (False, True):
        for version in (0, 1):
            file = io.BytesIO(boxes(wide=wide, version=version))
            assert code_points(picture, file) == CodePoints(12, 13)
            assert file.tell() == 0
            for end in range(len(file.getvalue())):  # cut off anywhere: no error
                code_points(picture, io.BytesIO(file.getvalue()[:end]))
