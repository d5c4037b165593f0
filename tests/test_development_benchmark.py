"""The benchmark that weights are chosen and judged by: who is in it, and what is known of them."""

from __future__ import annotations

import collections
import csv
import functools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from videos import jpeg

from data_pipeline.benchmark.__main__ import COMMAND
from data_pipeline.benchmark.attributes import group_edges, skin_tones, write_attributes
from data_pipeline.benchmark.lists import (
    PHOTOS,
    Row,
    image_rows,
    photo_rows,
    video_rows,
    write_list,
)
from data_pipeline.benchmark.make import BenchmarkError, Plan, Weights, make_benchmark
from data_pipeline.benchmark.people import CHOOSE, GATE, PARTS, People
from data_pipeline.benchmark.skin import cheek_mask, quartile, quartile_edges, typology_angle
from data_pipeline.datasets import SPLITS, DataSetError, open_data_set
from data_pipeline.swaps.lists import Item
from data_pipeline.swaps.portraits import Source
from data_pipeline.training.sources import ArraySource, RecordSource

LANDMARKS = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)
COUNTS = {"congress": 5, "members": 5, "london": 40, "westminster": 60}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A manifest with two photos of each of London's people and one of each other's."""
    lines = ["path,group,person,licence,source"]
    for group, count in COUNTS.items():
        for i in range(count):
            for k in range(2 if group == "london" else 1):
                lines.append(f"{group}/{i}_{k}.jpg,{group},{group}:{i},CC BY 4.0,nowhere")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path


def test_a_person_is_whole_in_one_part(root: Path) -> None:
    people = People()
    seen: dict[str, dict[str, list[str]]] = {
        group: {
            part: [source.person for source in people.sources(root, part, group)] for part in PARTS
        }
        for group in ("london", "westminster")
    }
    for group, parts in seen.items():
        chosen, judged = (set(parts[part]) for part in (CHOOSE, GATE))
        assert not chosen & judged and len(chosen | judged) == COUNTS[group]
        assert min(len(chosen), len(judged)) > COUNTS[group] // 4
    for persons in seen["london"].values():
        assert all(persons.count(person) == 2 for person in persons)
    again = [source.person for source in people.sources(root, GATE, "london")]
    assert again == seen["london"][GATE]
    other = [source.person for source in People(seed=1).sources(root, GATE, "london")]
    assert other != again
    # Who else there is changes nothing.
    lines = (root / "manifest.csv").read_text().splitlines()
    (root / "manifest.csv").write_text("\n".join([lines[0], *lines[5:]]))
    left = [source.person for source in people.sources(root, GATE, "westminster")]
    assert left == seen["westminster"][GATE]


def test_nobody_who_judges_is_trained_on(root: Path) -> None:
    people = People()
    listing = people.data_set.list(root, compression="", splits=SPLITS)
    split = {video.people[0]: video.split for video in listing.missing}
    for part in PARTS:
        for group in ("london", "westminster"):
            own = {split[source.person] for source in people.sources(root, part, group)}
            assert own == {PARTS[part]}
    trained = {person.split(":")[0] for person, own in split.items() if own == "train"}
    assert trained == {"congress", "members"}
    with pytest.raises(DataSetError, match="group london has two tasks"):
        People(train=("london",))
    with pytest.raises(DataSetError, match="no group is swapped"):
        People(swapped=())


def lab_patch(lightness: float, yellow: float, size: int = 100) -> np.ndarray:
    lab = np.full((size, size, 3), (lightness, 12, yellow), np.float32)
    return np.rint(255 * np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    ("lightness", "yellow"), [(70.0, 15.0), (55.0, 20.0), (35.0, 15.0), (65.0, -4.0)]
)
def test_the_typology_angle_is_that_of_the_cheeks(lightness: float, yellow: float) -> None:
    image = np.zeros((100, 100, 3), np.uint8)  # hair, background
    mask = cheek_mask((100, 100), LANDMARKS)
    assert 2 * 80 < mask.sum() < 2 * 140  # two discs of 6 pixels
    image[mask] = lab_patch(lightness, yellow)[mask]
    ys, xs = np.nonzero(mask)
    image[ys[::9], xs[::9]] = 255  # glints
    wanted = math.degrees(math.atan2(lightness - 50, yellow))
    assert typology_angle(image, LANDMARKS) == pytest.approx(wanted, abs=2)
    assert typology_angle(image, LANDMARKS + 500) is None


def test_quartiles_are_of_those_they_were_fitted_on() -> None:
    edges = quartile_edges(np.arange(101).tolist())
    assert edges == [25, 50, 75]
    assert [quartile(angle, edges) for angle in (-90, 24.9, 25, 60, 75, 300)] == list("112344")
    with pytest.raises(ValueError, match="four people, not 3"):
        quartile_edges([1.0, 2.0, 3.0])


def row(name: str, label: int = 0, **fields: Any) -> Row:
    about: dict[str, Any] = {"subset": "real", "compression": "png", "original": name}
    about |= {"group": "london", "people": (name,)}
    return Row(path=Path("/nowhere") / name, label=label, name=name, **(about | fields))


def test_attributes_of_a_person_are_those_of_the_reals(tmp_path: Path) -> None:
    """The fake, which is of another tone, has that of whose photo it was."""
    rows = [row("a"), row("b"), row("swap", 1, original="a", people=("a", "b"))]
    images = np.stack([lab_patch(70, 10), lab_patch(70, 20), lab_patch(30, 10)])
    source = ArraySource(
        images,
        {"label": np.array([0, 0, 1]), "video_id": np.array(["a", "b", "swap"])},
        landmarks=np.stack([LANDMARKS] * 3),
    )
    angles = skin_tones(source, {one.name: one.person for one in rows})
    assert list(angles) == ["london:a", "london:b"]
    assert angles["london:a"] == pytest.approx(63.4, abs=2)
    write_attributes(tmp_path, [*rows, row("lost")], angles, {"london": [0.0, 50.0, 90.0]})
    with (tmp_path / "attributes.csv").open(encoding="utf-8", newline="") as file:
        found = {line["video_id"]: line for line in csv.DictReader(file)}
    assert found["swap"] == {
        "video_id": "swap",
        "group": "london",
        "person": "london:a",
        "skin_tone": "3",
    }
    assert found["b"]["skin_tone"] == "2" and found["lost"]["skin_tone"] == ""


def test_each_group_has_quartiles_of_its_own(tmp_path: Path) -> None:
    """A group in other light is not one quartile as a whole."""
    rows = [row(f"{g}{i}", group=g) for g in ("london", "westminster") for i in range(8)]
    rows += [row("few", group="ffpp")]
    angles = {one.person: float(i % 8 + 100 * (i // 8)) for i, one in enumerate(rows)}
    edges = group_edges(rows, angles)
    assert set(edges) == {"london", "westminster"} and edges["westminster"][0] > 100
    write_attributes(tmp_path, rows, angles, edges)
    with (tmp_path / "attributes.csv").open(encoding="utf-8", newline="") as file:
        tones = [line["skin_tone"] for line in csv.DictReader(file)]
    assert tones == [*"1122334411223344", ""]


def test_rows_are_what_prepare_reads(tmp_path: Path) -> None:
    one, two = (Source(f"london_{i}", Path(f"{i}.jpg"), f"london:{i}") for i in (1, 2))
    items = [
        Item("real/london_1.png", "london_1", "real", (one,)),
        Item("paste/x.png", "x", "paste_64px", (one, two)),
    ]
    for item in items:
        (tmp_path / item.path).parent.mkdir()
        (tmp_path / item.path).write_bytes(jpeg(np.zeros((8, 8, 3), np.uint8)))
    rows = image_rows(items, tmp_path, "london", "png_crf23")
    assert [one.person for one in rows] == ["london:1", "london:1"]
    for kind in ("real", "fake"):
        (tmp_path / "own" / kind).mkdir(parents=True)
        (tmp_path / "own" / kind / f"{kind}.jpg").write_bytes(jpeg(np.zeros((8, 8, 3), np.uint8)))
    videos = video_rows({"folder": tmp_path / "own"})
    assert {(one.name, one.person) for one in videos} == {
        ("real", "folder:real"),
        ("fake", "folder:fake"),
    }
    write_list(tmp_path / "list.csv", [*rows, *videos])
    listing = open_data_set("folder").list(tmp_path / "list.csv", compression="", splits=("test",))
    assert len(listing.present) == 4 and not listing.missing
    fake = next(video for video in listing.present if video.subset == "paste_64px")
    assert (fake.source_id, fake.compression) == ("london_1", "png_crf23")
    assert fake.people == ("london:1", "london:2")


def test_pairs_of_the_shared_videos_know_their_sources(shared_data: Path) -> None:
    rows = video_rows({name: shared_data / name for name in ("ffpp", "dfdc")})
    reals = {(one.group, one.name) for one in rows if not one.label}
    paired = [one.name for one in rows if one.label and (one.group, one.original) in reals]
    assert sorted(paired) == ["004_982", "519_515", "634_660"]


def small_manifest(shared_data: Path, root: Path) -> Path:
    """Some of the portraits, by link: eight people to judge by in each part, six to train on."""
    portraits = shared_data / "portraits"
    with (portraits / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    people = People()
    judging = {source.path for part in PARTS for source in _eight(people, portraits, part)}
    chosen = [one for one in rows if portraits / one["path"] in judging]
    for group in people.train:
        chosen += [one for one in rows if one["group"] == group][:3]
    root.mkdir()
    with (root / "manifest.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    for one in chosen:
        (root / one["path"]).parent.mkdir(exist_ok=True)
        (root / one["path"]).write_bytes((portraits / one["path"]).read_bytes())
    return root


def _eight(people: People, portraits: Path, part: str) -> list[Source]:
    return [
        source
        for group in (*people.swapped, *people.real)
        for source in people.sources(portraits, part, group)[:4]
    ]


def test_from_portraits_to_records(
    shared_data: Path, shared_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av")
    root = small_manifest(shared_data, tmp_path / "portraits")
    weights = Weights(
        shared_models / "face_detection_yunet_2023mar.onnx", shared_models / "face_landmark.tflite"
    )
    plan, out = Plan(num=3, crfs=(40,), jpegs=(0.5,), crop_size=128), tmp_path / "out"
    with pytest.raises(BenchmarkError, match="make the part 'choose' before 'gate'"):
        make_benchmark(root, out, plan, weights=weights, parts=(GATE,), workers=1)
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, path in enumerate(sorted(root.glob("congress/*"))[:2]):
        shutil.copy(path, photos / f"{i}{path.suffix}")
    make = functools.partial(make_benchmark, weights=weights, photos=photos, workers=1)
    made = make(root, out, plan)
    assert list(made) == ["portraits", CHOOSE, GATE]
    people: dict[str, set[str]] = {}
    for part in PARTS:
        source = RecordSource(out / part, "test")
        labels, stored = (source.columns[name] for name in ("label", "compression"))
        counts = {"png_crf40": 8, "jpeg75_50": 8} | ({"as_is": 2} if part == CHOOSE else {})
        assert collections.Counter(stored[labels == 0].tolist()) == counts
        assert stored[labels == 1].tolist() == ["png_crf40"] * 9
        sides = {
            folder: [cv2.imread(str(path)).shape[0] for path in sorted(folder.glob("real/*"))]
            for folder in sorted((out / "images" / part).glob("london_*"))
        }
        small, large = sides.values()
        np.testing.assert_allclose(small, np.array(large) * 0.5 / 0.9, atol=2)
        subsets = set(source.columns["subset"][labels == 1])
        assert {"poisson", "paste_96px", "splice_64px"} <= subsets
        with (out / part / "attributes.csv").open(encoding="utf-8", newline="") as file:
            about = list(csv.DictReader(file))
        groups = {"london", "westminster"} | ({PHOTOS} if part == CHOOSE else set())
        assert {one["group"] for one in about} == groups
        tones = {one["skin_tone"] for one in about if one["group"] != PHOTOS}
        assert tones <= set("1234")
        people[part] = {one["person"] for one in about}
        with (out / part / "list.csv").open(encoding="utf-8", newline="") as file:
            both = {name for one in csv.DictReader(file) for name in one["people"].split()}
        assert both == people[part]
    assert not people[CHOOSE] & people[GATE]
    edges = [json.loads((out / part / "skin-tones.json").read_text())["edges"] for part in PARTS]
    assert edges[0] == edges[1] and PHOTOS not in edges[0]  # two people have no quartiles
    training = {split: RecordSource(out / "portraits", split) for split in ("train", "val")}
    assert len(training["train"]) == 6 and "landmarks_dense" in training["train"].fields
    chosen = {person for person in people[CHOOSE] if not person.startswith(PHOTOS)}
    assert set(training["val"].columns["source_id"]) == chosen
    assert make(root, out, plan) == {}
    with pytest.raises(BenchmarkError, match="was made of something else"):
        make(root, out, Plan(num=4))
    assert COMMAND([f"--portraits={root}", f"--out={out}", "--train_groups=nobody"]) == 1
    assert "made of something else" in capsys.readouterr().err


def test_a_folder_of_photos_is_of_people_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"no photos in .*; known endings: .*\.jpg"):
        photo_rows(tmp_path)
    for name in ("a/1 b.jpg", "b/1 b.jpg", "b/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    rows = photo_rows(tmp_path)
    assert [row.name for row in rows] == ["photos/a/1 b.jpg", "photos/b/1 b.jpg"]
    assert [row.person for row in rows] == ["photos:a/1_b.jpg", "photos:b/1_b.jpg"]
    assert {(row.label, row.group, row.compression) for row in rows} == {(0, PHOTOS, "as_is")}
