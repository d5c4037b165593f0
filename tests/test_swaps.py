"""The benchmark of classical swaps."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faces import face, picture

from data_pipeline.datasets import open_data_set
from data_pipeline.swaps.__main__ import COMMAND
from data_pipeline.swaps.detail import restored
from data_pipeline.swaps.kinds import KINDS, at_face_width
from data_pipeline.swaps.make import Settings, load, make
from data_pipeline.swaps.plan import describe, plan
from data_pipeline.swaps.portraits import (
    Face,
    Source,
    SwapError,
    read_face,
    sources_of_folder,
    sources_of_manifest,
)
from data_pipeline.swaps.statistics import probe_auc
from data_pipeline.swaps.store import Storage

PEOPLE = 6


def portrait(seed: int) -> Face:
    return Face(picture(seed, 130, 120), face(81, size=0.8, at=(14 + seed % 3, 20 + seed % 2)))


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    """A set of portraits: two of each person, with manifest and landmarks."""
    root = tmp_path / "portraits"
    (root / "a").mkdir(parents=True)
    rows, names, points = [], [], []
    for i in range(2 * PEOPLE):
        drawn, name = portrait(i), f"a/{i}.png"
        cv2.imwrite(str(root / name), drawn.image[..., ::-1])
        rows.append((name, "a", f"a:{i // 2}", "CC BY 4.0 (nobody)", f"somewhere:{i}"))
        names.append(name)
        points.append(drawn.points)
    rows.append(("b/0.png", "b", "b:0", "", ""))
    with open(root / "manifest.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "group", "person", "licence", "source"), *rows])
    np.savez(root / "landmarks.npz", path=np.array(names), points=np.stack(points))
    return root


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("kind", KINDS)
def test_a_swap_changes_the_face_alone_and_follows_its_seed(kind: str) -> None:
    target, donor = portrait(0), portrait(3)
    before = [one.image.copy() for one in (target, donor)]
    made = KINDS[kind](target, donor, np.random.default_rng(0))
    again = KINDS[kind](target, donor, np.random.default_rng(0))
    np.testing.assert_array_equal(made, again)
    assert made.shape == target.image.shape and made.dtype == np.uint8
    changed = (made != target.image).any(axis=2)
    assert 0.02 < changed.mean() < 0.6
    hull = np.zeros(changed.shape, np.uint8)
    cv2.fillConvexPoly(hull, np.rint(cv2.convexHull(target.points)).astype(np.int32), 255)
    assert not changed[cv2.dilate(hull, np.ones((19, 19), np.uint8)) == 0].any()
    for one, was in zip((target, donor), before, strict=True):
        np.testing.assert_array_equal(one.image, was)


def test_a_donor_of_few_pixels_has_less_detail_in_the_same_place() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (130, 120, 3)).astype(np.uint8)
    whole = Face(noise, portrait(0).points)
    small = at_face_width(whole, 20)
    assert small.image.shape == noise.shape and small.points is whole.points
    assert small.image.std() < 0.5 * noise.std()
    assert at_face_width(whole, 500) is whole and at_face_width(whole, None) is whole


def test_detail_that_resampling_took_is_given_back() -> None:
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (130, 120, 3)).astype(np.uint8), (0, 0), 1
    )
    original = Face(image, portrait(0).points)

    def detail(image: np.ndarray) -> float:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return float(cv2.Laplacian(grey, cv2.CV_64F)[50:80, 50:80].std())

    soft = cv2.GaussianBlur(image, (0, 0), 0.5)
    sharp = restored(soft, original.points, original)
    assert detail(soft) < 0.9 * detail(image)
    assert detail(sharp) == pytest.approx(detail(image), rel=0.1)
    assert restored(image, original.points, Face(soft, original.points)) is image


def test_a_plan_is_balanced_and_never_swaps_a_person_with_themselves() -> None:
    sources = [Source(str(i), Path(str(i)), f"p{i // 2}") for i in range(12)]
    described = np.stack([describe(portrait(i)) for i in range(12)])
    options: Any = {"kinds": ("paste", "splice"), "widths": (None, 64), "num": 24, "seed": 1}
    made = plan(sources, described, **options)
    assert made == plan(sources, described, **options)
    assert len({one.name for one in made}) == len(made) == 48
    assert Counter((one.kind, one.width) for one in made) == {
        (kind, width): 12 for kind in ("paste", "splice") for width in (None, 64)
    }
    for kind in ("paste", "splice"):
        chosen = [one for one in made if one.kind == kind]
        assert set(Counter(one.target for one in chosen).values()) == {2}
        given = Counter(sources[one.donor].person for one in chosen)
        assert len(given) == 6 and max(given.values()) - min(given.values()) <= 2
    assert all(sources[one.target].person != sources[one.donor].person for one in made)
    with pytest.raises(SwapError, match="two people at least"):
        plan(sources[:2], described[:2], **options)


def test_the_command_makes_what_prepare_reads(portraits: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [f"--portraits={portraits}", "--group=a", f"--out={out}", "--num=8"]
    assert COMMAND([*argv, "--donor_widths=full,30"]) == 0
    rows = table(out / "swaps.csv")
    assert Counter(row["subset"] for row in rows) == {
        "real": 12,
        **{f"{kind}{width}": 4 for kind in KINDS for width in ("", "_30px")},
    }
    listing = open_data_set("folder").list(out / "swaps.csv", compression="", splits=("test",))
    assert len(listing.present) == len(rows) == 36
    reals = {video.video_id: video.people for video in listing.present if not video.label}
    for video in listing.present:
        assert video.compression == "png"
        if video.label:
            assert video.people[:1] == reals[video.original] and len(set(video.people)) == 2
    licences = table(out / "LICENCES.csv")
    assert [row["path"] for row in licences] == [row["path"] for row in rows]
    assert {row["licence"] for row in licences} == {"CC BY 4.0 (nobody)"}
    assert all((" | " in row["source"]) == (row["change"] == "face altered") for row in licences)
    assert "CC BY 4.0 (nobody)" in (out / "LICENCES.md").read_text(encoding="utf-8")
    assert cv2.imread(str(out / "sheet.png")) is not None


def test_a_rerun_makes_what_is_missing_and_the_same(portraits: Path, tmp_path: Path) -> None:
    sources, settings = sources_of_manifest(portraits, ("a",)), Settings(num=3)
    make(sources, None, tmp_path / "one", settings)
    before = files(tmp_path / "one")
    removed = [name for name in before if name.endswith(".png")][::4]
    for name in removed:
        (tmp_path / "one" / name).unlink()
    make(sources, None, tmp_path / "one", settings)
    make(sources, None, tmp_path / "two", settings)
    assert files(tmp_path / "one") == before == files(tmp_path / "two")
    with pytest.raises(SwapError, match="made with other seed"):
        make(sources, None, tmp_path / "one", dataclasses.replace(settings, seed=1))
    with pytest.raises(SwapError, match="made with other images"):
        make(sources[2:], None, tmp_path / "one", settings)


@pytest.mark.parametrize("storage", [Storage("jpeg", 60), Storage("png", crf=40)])
def test_reals_and_fakes_are_stored_the_same_way(
    portraits: Path, tmp_path: Path, storage: Storage
) -> None:
    pytest.importorskip("av")
    settings = Settings(num=2, kinds=("splice",), storage=storage)
    sources = sources_of_manifest(portraits, ("a",))
    report = make(sources, None, tmp_path, settings)
    lossless = make(sources, None, tmp_path / "png", Settings(num=2, kinds=("splice",)))
    assert storage.compression in ("jpeg60", "png_crf40")
    assert {row["compression"] for row in table(tmp_path / "swaps.csv")} == {storage.compression}
    for item, plain in zip(report.items, lossless.items, strict=True):
        assert item.path.endswith(storage.suffix)
        stored, exact = load(tmp_path / item.path), load(tmp_path / "png" / plain.path)
        assert 0 < np.abs(stored.astype(int) - exact).mean() < 20


def test_one_bad_file_is_passed_over(portraits: Path, tmp_path: Path) -> None:
    (portraits / "a" / "3.png").write_bytes(b"none")
    (portraits / "a" / "4.png").unlink()
    report = make(sources_of_manifest(portraits, ("a",)), None, tmp_path, Settings(num=2))
    assert [path.name for path in report.unread] == ["3.png", "4.png"]
    assert sum(not item.label for item in report.items) == 10


def test_a_folder_names_people_by_its_folders(tmp_path: Path) -> None:
    for name in ("ann/1.png", "ann/2.png", "bob lee/1.png", "carl.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture(0))
    found = sources_of_folder(tmp_path)
    assert [(one.name, one.person) for one in found] == [
        ("ann_1", "ann"),
        ("ann_2", "ann"),
        ("bob_lee_1", "bob_lee"),
        ("carl", "carl"),
    ]
    assert read_face(found[0], None, scale=1.0) is None
    seen = read_face(found[0], lambda image: face(68), scale=0.5)
    assert seen is not None and seen.image.shape == (45, 40, 3)
    np.testing.assert_allclose(seen.points, (face(68) + 0.5) / 2 - 0.5, atol=1e-4)


def test_what_cannot_be_made_is_said(
    portraits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"--out={tmp_path / 'out'}"
    for argv, message in (
        ([], "give one of --images=DIR and --portraits=DIR"),
        ([f"--portraits={portraits}", "--group=c"], "no images of group c"),
        ([f"--portraits={tmp_path}"], "manifest.csv"),
        ([f"--images={tmp_path / 'none'}"], "no images in"),
        ([f"--portraits={portraits}", "--group=a", "--donor_widths=big"], "'big' is neither"),
    ):
        assert COMMAND([*argv, out]) == 1
        assert message in capsys.readouterr().err
    (portraits / "manifest.csv").write_text("path,person\n", encoding="utf-8")
    with pytest.raises(SwapError, match="has no column group, licence, source"):
        sources_of_manifest(portraits, ("a",))


def test_the_probe_finds_what_differs_and_nothing_where_nothing_does() -> None:
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(200, 3)), np.arange(200) % 2
    people = [str(i // 4) for i in range(200)]
    same = probe_auc(values, labels, people)
    assert same is not None and 0.35 < same < 0.65
    told = probe_auc(values + 3 * labels[:, None], labels, people)
    assert told is not None and told > 0.95
    assert probe_auc(values, np.zeros(200, int), people) is None
    assert probe_auc(values[:0], labels[:0], []) is None
    assert probe_auc(values, labels, ["a", "b"] * 100) is None
    one_persons = (np.arange(6) == 0).astype(int)  # the fold without that person has reals alone
    assert probe_auc(values[:6], one_persons, list("abcdef")) is None
