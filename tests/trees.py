"""Tiny copies of data sets in their official layouts: videos are one real clip."""

from __future__ import annotations

import itertools
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from videos import jpeg, moving_square, write_clip

MANIPULATIONS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
SPLITS = ("train", "val", "test")


class Tree:
    """A data set's folder below a test's own.

    Args:
      root: is made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        self._clip = write_clip(root.parent / f".{root.name}-clip.mp4", 6)

    def videos(self, *paths: str) -> None:
        """Videos of six frames."""
        for path in paths:
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._clip, target)

    def text(self, path: str, content: str) -> None:
        """A text file."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def json(self, path: str, content: object) -> None:
        """A JSON file."""
        self.text(path, json.dumps(content))

    def images(self, folder: str, names: Iterable[str]) -> None:
        """JPEG files."""
        for name in names:
            target = self.root / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(jpeg(moving_square(1)))


def ffpp(
    root: Path, compression: str = "c23", manipulations: Iterable[str] = MANIPULATIONS
) -> Tree:
    """One pair a split: 000 001 in train, 002 003 in val, 004 005 in test."""
    tree = Tree(root)
    for i, split in enumerate(SPLITS):
        a, b = f"{2 * i:03}", f"{2 * i + 1:03}"
        tree.json(f"splits/{split}.json", [[a, b]])
        tree.videos(*(f"original_sequences/youtube/{compression}/videos/{n}.mp4" for n in (a, b)))
        for m in manipulations:
            folder = f"manipulated_sequences/{m}/{compression}/videos"
            tree.videos(f"{folder}/{a}_{b}.mp4", f"{folder}/{b}_{a}.mp4")
    return tree


def celeb_df(root: Path) -> Tree:
    """Twelve people with a real video each, fakes of neighbours, and id0's footage in the test."""
    tree = Tree(root)
    people = [f"id{i}" for i in range(12)]
    tree.videos(*(f"Celeb-real/{p}_0000.mp4" for p in people))
    tree.videos("Celeb-real/videos/id0_0001.mp4")  # copies differ: an extra level
    pairs = list(itertools.pairwise(people))
    tree.videos(*(f"Celeb-synthesis/{a}_{b}_0000.mp4" for a, b in pairs))
    tree.videos(*(f"YouTube-real/{n:05}.mp4" for n in range(10)))
    # In this list 1 is real.
    tree.text(
        "List_of_testing_videos.txt",
        "1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"
        "1 YouTube-real/00000.mp4\n1 YouTube-real/00099.mp4\n",
    )
    return tree


def dfdc(root: Path) -> Tree:
    """Parts 0, 35 and 40; a file without an entry, an entry without its original, a test set."""
    tree = Tree(root)
    for number, names in ((0, "ab"), (35, "cd"), (40, "ef")):
        real, fake = (f"{name}.mp4" for name in names)
        entries = {real: {"label": "REAL", "split": "train"}}
        entries[fake] = {"label": "FAKE", "original": real, "split": "train"}
        tree.json(f"dfdc_train_part_{number}/metadata.json", entries)
        tree.videos(f"dfdc_train_part_{number}/{real}", f"dfdc_train_part_{number}/{fake}")
    tree.videos("dfdc_train_part_0/unlisted.mp4")
    tree.text("test/labels.csv", "filename,label\nx.mp4,0\ny.mp4,1\n")
    tree.videos("test/x.mp4")
    return tree


def dfdc_preview(root: Path) -> Tree:
    """Official train and test, actors by number."""
    tree = Tree(root)
    table = {}
    for actor in range(8):
        part = "test" if actor > 5 else "train"
        real, fake = f"original_videos/{actor}/{actor}_A.mp4", f"method_A/{actor}_{actor}/f.mp4"
        table[real] = {"label": "real", "set": part, "target_id": str(actor), "swapped_id": None}
        table[fake] = {"label": "fake", "set": part, "target_id": str(actor)}
        table[fake]["swapped_id"] = str(actor ^ 1)
        tree.videos(real, fake)
    tree.json("dataset.json", table)
    return tree


def deeperforensics(root: Path) -> Tree:
    """Fakes of FaceForensics++'s 000, 002 and 004, whose videos lie in ffpp/."""
    tree = Tree(root)
    for split, target in zip(SPLITS, ("000", "002", "004"), strict=True):
        name = f"{target}_M10{target[-1]}.mp4"
        tree.text(f"lists/splits/{split}.txt", f"{name}\n{name}\n")
        tree.videos(f"manipulated_videos/end_to_end/{name}")
        tree.videos(f"ffpp/original_sequences/youtube/c23/videos/{target}.mp4")
    return tree


def wilddeepfake(root: Path) -> Tree:
    """An archive and a folder in each of the four; numbers begin anew in each."""
    tree = Tree(root)
    for name in ("real_train", "real_test", "fake_train", "fake_test"):
        tree.images(f"{name}/2/fake/a", ("1.png", "12.png", "5.png"))
        tree.images(f"unpacked/{name}/1/s", ("3.png", "20.png"))
        with tarfile.open(root / name / "1.tar.gz", "w:gz") as archive:
            archive.add(root / "unpacked" / name / "1", "1")
    return tree


def deepfakedetection(root: Path) -> Tree:
    """Actors 01 to 28 with a scene each, and fakes of neighbours."""
    tree = Tree(root)
    names = [f"{i:02}" for i in range(1, 29)]
    tree.videos(*(f"original_sequences/actors/c23/videos/{a}__walk.mp4" for a in names))
    folder = "manipulated_sequences/DeepFakeDetection/c23/videos"
    tree.videos(*(f"{folder}/{a}_{b}__walk__ABCDEFGH.mp4" for a, b in itertools.pairwise(names)))
    return tree


def ffiw(root: Path) -> Tree:
    """Two videos in each of the four folders."""
    tree = Tree(root)
    tree.videos(
        *(
            f"{kind}/{split}/{n:08}.mp4"
            for kind in ("source", "target")
            for split in ("train", "val")
            for n in (0, 1)
        )
    )
    return tree


def deepfakebench(root: Path) -> Tree:
    """FF-DF, and a Celeb-DF list that names its test video in train too, as the tool writes it."""
    tree = Tree(root)

    def entry(folder: str, label: str) -> dict:
        frames = [f"{folder}/{n:03}.png" for n in range(3)]
        tree.images(folder, (f"{n:03}.png" for n in range(3)))
        return {
            "label": label,
            "frames": [f"D:\\data\\{frame}".replace("/", "\\") for frame in frames],
        }

    real, fake = (
        "original_sequences/youtube/c23/frames",
        "manipulated_sequences/Deepfakes/c23/frames",
    )
    by_split = {
        "FF-real": {
            "train": {"c23": {"000": entry(f"FaceForensics++/{real}/000", "FF-real")}},
            "val": {"c23": {}},
            "test": {"c23": {"004": entry(f"FaceForensics++/{real}/004", "FF-real")}},
        },
        "FF-DF": {
            "train": {"c23": {"000_001": entry(f"FaceForensics++/{fake}/000_001", "FF-DF")}},
            "val": {"c23": {}},
            "test": {"c23": {"004_005": entry(f"FaceForensics++/{fake}/004_005", "FF-DF")}},
        },
    }
    tree.json("dataset_json/FF-DF.json", {"FF-DF": by_split})
    one = entry("Celeb-DF-v2/Celeb-real/frames/id0_0000", "CelebDFv2_real")
    two = entry("Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000", "CelebDFv2_fake")
    celeb = {
        "CelebDFv2_real": {"train": {"id0_0000": one}, "test": {"id0_0000": one}},
        "CelebDFv2_fake": {"train": {"id0_id1_0000": two}, "test": {"id0_id1_0000": two}},
    }
    tree.json("dataset_json/Celeb-DF-v2.json", {"Celeb-DF-v2": celeb})
    return tree


def df40(root: Path) -> Tree:
    """Simswap on both domains, beside the two data sets that the fakes were made of."""
    tree = Tree(root)
    ffpp(root / "FaceForensics++", manipulations=())
    celeb_df(root / "Celeb-DF-v2")
    tree.images("simswap/ff/frames/004_005", ("000.png", "005.png"))
    tree.images("simswap/ff/frames/777_778", ("000.png",))
    tree.images("simswap/cdf/frames/id0_id1_0000", ("000.png",))
    return tree


def folder(root: Path) -> Tree:
    """real/ and fake/, names with spaces, quotes and accents."""
    tree = Tree(root)
    tree.videos(*(f"real/it's {n} é.mp4" for n in range(20)))
    tree.videos(*(f'fake/say "{n}".mp4' for n in range(20)))
    return tree
