"""What is fuzzed: whole files of each kind, made here, and the reader that gets their ruins."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from videos import jpeg, moving_square

SIZE = (48, 64)


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader, and what may come of a ruined file: a result, or one of these errors.

    Attributes:
      seeds: makes whole files in a folder; what a seed's file is named the ruins are named.
      read: of a path.
      errors: that are an answer; every other is a failure.
    """

    seeds: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...] = (ValueError, OSError)


def pictures(folder: Path) -> list[Path]:
    """Of every kind, moving ones too."""
    from heif import heic, nclx
    from icc import DISPLAY_P3, cmyk_profile, rgb_profile

    still, grey = moving_square(9, size=SIZE), moving_square(9, size=SIZE)[..., 0]
    picture = Image.fromarray(still)
    moving = [Image.fromarray(moving_square(9 * i, size=SIZE)) for i in range(4)]
    exif = Image.Exif()
    exif[0x0112] = 6
    made: dict[str, bytes] = {
        "still.heic": heic(still, tile=64),
        "tiles.heic": heic(moving_square(9), tile=64, quarter_turns=1),
        "hdr.heic": heic(
            still / 255, tile=64, colour=nclx(9, 16, matrix=9, full_range=False), bits=10
        ),
    }
    wide = {"icc_profile": rgb_profile(DISPLAY_P3, np.linspace(0, 1, 64) ** 2.2)}
    high = {
        "icc_profile": rgb_profile(DISPLAY_P3, np.linspace(0, 1, 64), code_points=b"\x09\x12\0\1")
    }
    press = {"icc_profile": cmyk_profile(np.full((2, 2, 2, 2, 3), 50.0))}
    for name, image, options in (
        ("a.png", picture, {}),
        ("deep.png", Image.fromarray(grey.astype(np.uint16) << 8), {}),
        ("palette.png", picture.convert("P"), {"exif": exif}),
        ("a.jpg", picture, {"exif": exif}),
        ("progressive.jpg", picture, {"progressive": True}),
        ("cmyk.jpg", picture.convert("CMYK"), {}),
        ("wide.png", picture, wide),
        ("wide.avif", picture, wide),
        ("hlg.jpg", picture, high),
        ("press.tiff", picture.convert("CMYK"), press),
        ("a.bmp", picture, {}),
        ("a.tiff", picture, {"compression": "tiff_lzw"}),
        ("jpeg.tiff", picture, {"compression": "jpeg"}),
        ("a.webp", picture, {"exif": exif}),
        ("a.jp2", picture, {}),
        ("a.avif", picture, {}),
        *((f"moving.{e}", moving[0], MOVING) for e in ("gif", "webp", "png", "avif")),
    ):
        buffer = io.BytesIO()
        kind = {"jpg": "JPEG", "jp2": "JPEG2000"}.get(name.split(".")[1], name.split(".")[1])
        rest = {"append_images": moving[1:]} if options is MOVING else {}
        image.save(buffer, kind, **options, **rest)
        made[name] = buffer.getvalue()
    return _written(folder, made)


MOVING: dict[str, Any] = {"save_all": True, "duration": 40}


def videos(folder: Path) -> list[Path]:
    """In every container, by every encoder that is here; and an archive of pictures."""
    import av
    from test_kinds import FILMS, QUIET

    folder.mkdir(parents=True, exist_ok=True)
    films = [*FILMS, ("mp4", "libx264", {}), ("mkv", "libx264", {"x264-params": QUIET})]
    paths = []
    for number, (ending, codec, options) in enumerate(films):
        path = folder / f"{number}.{ending}"
        options = dict(options)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.pix_fmt = options.pop("pix_fmt", "yuv420p")
            stream.height, stream.width = SIZE if "av1" not in codec else (64, 64)
            stream.options = options
            for i in range(8):
                image = moving_square(9 * i, size=(stream.height, stream.width))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        paths.append(path)
    with tarfile.open(folder / "frames.tar.gz", "w:gz") as archive:
        for i in range(4):
            data = jpeg(moving_square(i, size=SIZE))
            member = tarfile.TarInfo(f"frames/{i}.jpg")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return [*paths, folder / "frames.tar.gz"]


def read_media(path: Path) -> int:
    """All frames that prediction would take; they are what they are said to be."""
    from data_pipeline.extract.limits import Limits
    from data_pipeline.extract.video import open_frames

    frames = 0
    for frame in open_frames(path, 4, limits=Limits(max_pixels=2_000_000, max_seconds=20)):
        assert frame.image.dtype == np.uint8 and frame.image.shape[2:] == (3,)
        assert frame.image.size <= 3 * 2_000_000
        frames += 1
    return frames


def records(folder: Path) -> list[Path]:
    """A build; ruined is the file of one split."""
    from records import write_records

    build = write_records(folder, videos=2, frames=2, size=16)
    return sorted(build.glob("*train*.array_record*"))


def read_records(path: Path) -> int:
    """Through a copy of the build in which that file stands for the whole one."""
    from data_pipeline.training.sources import RecordSource

    source = RecordSource(path.parent, "train")
    return len(source.read(np.arange(len(source))))


def extractions(folder: Path) -> list[Path]:
    """What `prepare` keeps of a video."""
    from records import write_extraction

    return [write_extraction(folder, "v", label=1, split="train", size=16)]


def read_extraction(path: Path) -> Any:
    """As `pack` does."""
    from data_pipeline.extract.extraction import Extraction

    return Extraction.load(path)


def tables(folder: Path) -> list[Path]:
    """A scores.csv."""
    header = "dataset,subset,compression,split,video_id,frame,face,label,score"
    rows = [f"ffpp,youtube,c23,test,{i:03},{i},0,{i % 2},0.{i}5" for i in range(8)]
    return _written(folder, {"scores.csv": "\n".join([header, *rows, ""]).encode()})


def read_table(path: Path) -> Any:
    """As reports do."""
    from matnet_jax.metrics.scores import read_scores

    return read_scores(path)


def logs(folder: Path) -> list[Path]:
    """A predictions.jsonl."""
    from matnet_jax.predict.results import FaceScore, Log, Prediction, Track

    log = Log(folder / "predictions.jsonl", {"step": 3}, resume=False)
    faces = tuple(FaceScore(i, i / 25, (1.0, 2.0, 3.0, 4.0), 0.5) for i in range(3))
    for i in range(3):
        log.add(Prediction(f"{i} ü.mp4", 0.5, 0.5, 3, (Track(0, 0.5, faces),)))
    return [folder / "predictions.jsonl"]


def read_log(path: Path) -> Any:
    """As `--resume` does, writing included."""
    from matnet_jax.predict.files import print_summary
    from matnet_jax.predict.results import Log, write_predictions

    done = list(Log(path, {"step": 3}, resume=True).done.values())
    write_predictions(path.parent, done)
    return print_summary(done, path.parent)


def tensors(folder: Path) -> list[Path]:
    """A safetensors file, and one of Keras."""
    import h5py
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(3)}
    save_file(arrays, folder / "a.safetensors")
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0"]
        group.create_dataset("dense/kernel:0", data=arrays["a.weight"])
    return [folder / "a.safetensors", folder / "a.h5"]


def read_tensors(path: Path) -> Any:
    """As `convert` does."""
    from matnet_jax.pretrained.files import read_file

    return read_file(path)


def configs(folder: Path) -> list[Path]:
    """A config.json, and a metrics.json."""
    from matnet_jax.config import default_config

    config = json.loads(default_config("paper").to_json_best_effort())
    config["data"]["dir"] = "records"
    metrics = {"frame": {"auc": 0.5, "acc": None}, "config": {}, "by_subset": {}}
    return _written(
        folder,
        {
            "config.json": json.dumps(config, indent=1).encode(),
            "metrics.json": json.dumps(metrics).encode(),
        },
    )


def read_config(path: Path) -> Any:
    """As `load_trained` takes a checkpoint's, and a comparison its metrics."""
    from data_pipeline.extract.protocol import read_crop_protocol
    from matnet_jax.config.check import validate
    from matnet_jax.config.legacy import upgraded
    from matnet_jax.metrics.scores import read_metrics

    metrics = read_metrics(path)
    (path.parent / "crops.json").write_bytes(path.read_bytes())
    with contextlib.suppress(ValueError):
        read_crop_protocol(path.parent)
    if path.name == "config.json":
        validate(upgraded(metrics))


TARGETS = {
    "pictures": Target(pictures, read_media),
    "videos": Target(videos, read_media),
    "records": Target(records, read_records),
    "extractions": Target(extractions, read_extraction),
    "scores.csv": Target(tables, read_table),
    "predictions.jsonl": Target(logs, read_log),
    "weights": Target(tensors, read_tensors),
    "configs": Target(configs, read_config),
}


def _written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]
