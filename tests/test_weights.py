"""Weights that are handed out: packed from a workdir, checked on load, chosen by name or gate."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import pixels
from videos import jpeg, moving_square, write_clip
from workdirs import tiny_config, workdir

from matnet_jax import cli, pretrained
from matnet_jax.checkpoints.operating_point import write_operating_point
from matnet_jax.detectors.assembly import flatten
from matnet_jax.metrics.operating_point import OperatingPoint
from matnet_jax.predict import Predictor, info
from matnet_jax.predict.network import packaged_network, trained_network
from matnet_jax.pretrained import packaged
from matnet_jax.pretrained.manifest import LIMITS, Manifest, WeightsError, read_manifest
from matnet_jax.pretrained.pack import pack
from matnet_jax.pretrained.packaged import NoDefaultError, find
from matnet_jax.pretrained.trained import load_trained

POINT = OperatingPoint(0.999, (0.9985, 0.9995), false_alarm_rate=0.01, temperature=1.5)
MAX_MEGABYTES = 12
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = workdir(tmp_path_factory.mktemp("run"), tiny_config())
    write_operating_point(folder, POINT, step=3)
    return folder


def gate(path: Path, *, met: Any = True, step: int = 3, threshold: float = 0.999) -> Path:
    about = {"workdir": str(path.parent), "step": step}
    path.write_text(json.dumps({"met": met, "checkpoint": about, "threshold": threshold}))
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the package's."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setattr(packaged, "FOLDER", folder)
    return folder


def test_packed_weights_are_the_network_in_half_the_space(calibrated: Path, tmp_path: Path) -> None:
    manifest = pack(calibrated, "small", tmp_path)
    assert manifest.name == "small-experimental" and not manifest.is_default
    again = read_manifest(tmp_path / "small-experimental.json")
    assert again == manifest and again.point() == POINT and again.limits == LIMITS
    before, after = load_trained(calibrated), again.load()
    arrays, halved = flatten(before.variables), flatten(after.variables)
    assert arrays.keys() == halved.keys() and after.step == 3
    assert all(array.dtype == np.float32 for array in halved.values())
    for path, array in arrays.items():
        rounded = array.astype(np.float16) if path.startswith("params/") else array
        np.testing.assert_array_equal(halved[path], rounded.astype(np.float32), path)
    assert manifest.path.stat().st_size < 0.75 * sum(array.nbytes for array in arrays.values())
    assert (after.model.preprocess, after.model.description) == (
        before.model.preprocess,
        before.model.description,
    )
    crops = pixels(4, before.model.image_size)
    scores = [
        network(crops)[0]
        for network in (
            trained_network(calibrated, batch_size=8),
            packaged_network(tmp_path / "small-experimental.json", batch_size=8),
        )
    ]
    assert np.ptp(scores[0]) > 5e-3
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


def test_a_manifest_names_no_folder_of_the_machine_that_made_it(
    calibrated: Path, tmp_path: Path
) -> None:
    manifest = pack(calibrated, "small", tmp_path, gate=gate(tmp_path / "gate.json"))
    assert manifest.name == "small" and manifest.is_default
    text = (tmp_path / "small.json").read_text()
    assert str(tmp_path) not in text and str(calibrated) not in text and "workdir" not in text
    assert set(manifest.config) >= {"recipe", "model"} and "data" not in manifest.config


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ({"step": 4}, r"judged step 4 at the threshold 0\.999, and what is packed is step 3"),
        ({"threshold": 0.5}, r"at the threshold 0\.5"),
        ({"met": "yes"}, "met is 'yes', wanted true or false"),
    ],
)
def test_a_verdict_on_something_else_is_refused(
    calibrated: Path, tmp_path: Path, verdict: Any, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        pack(calibrated, "small", tmp_path / "out", gate=gate(tmp_path / "gate.json", **verdict))
    assert not (tmp_path / "out").exists()


def test_without_calibration_and_beyond_float16_nothing_is_packed(
    calibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="no operating point of step 3"):
        pack(workdir(tmp_path / "run", tiny_config()), "small", tmp_path / "out")
    trained = load_trained(calibrated)
    head = next(path for path in flatten(trained.variables) if path.startswith("params/"))
    huge = {head: np.full(2, 1e5, np.float32)}
    monkeypatch.setattr("matnet_jax.pretrained.pack.flatten", lambda _: huge)
    with pytest.raises(WeightsError, match=rf"{head} has values up to 100000, .* ends at 65504"):
        pack(calibrated, "small", tmp_path / "out")


def test_weights_beside_the_manifest_of_others_are_refused(
    calibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    other = workdir(tmp_path / "other", tiny_config(seed=1))
    write_operating_point(other, POINT, step=3)
    pack(calibrated, "small", tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("matnet_jax.pretrained.pack.write_json", full)
        with pytest.raises(OSError, match="No space left"):
            pack(other, "small", tmp_path)
    manifest = tmp_path / "small-experimental.json"
    with pytest.raises(WeightsError, match=r"sha256 .* run `matnet pack` again"):
        read_manifest(manifest).load()
    assert pack(other, "small", tmp_path) == read_manifest(manifest)
    assert read_manifest(manifest).load().step == 3


def test_damage_is_found(calibrated: Path, tmp_path: Path) -> None:
    manifest = pack(calibrated, "small", tmp_path)
    data = bytearray(manifest.path.read_bytes())
    data[-1] ^= 1
    manifest.path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"sha256 .* damaged or of another version"):
        manifest.load()
    manifest.path.unlink()
    with pytest.raises(WeightsError, match="has no file"):
        manifest.load()
    path = tmp_path / "small-experimental.json"
    values = json.loads(path.read_text())
    for wrong, message in (
        (values | {"format": 9}, "has format 9, and this version reads 1"),
        ({"format": 1}, "no manifest of weights .* wanted a JSON object with name, file"),
        (values | {"operating_point": {}}, "no operating point"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(WeightsError, match=message):
            read_manifest(path)
    with pytest.raises(WeightsError, match="`matnet pack` writes one"):
        find(tmp_path / "none.json")


def test_the_default_is_the_first_that_passed(shelf: Path, calibrated: Path) -> None:
    with pytest.raises(NoDefaultError, match=r"this package has none; give --workdir=DIR"):
        find()
    pack(calibrated, "matnet-lite0", shelf)
    assert pretrained.names() == ("matnet-lite0-experimental",)
    with pytest.raises(NoDefaultError, match=r"--weights=matnet-lite0-experimental \(did not pass"):
        find()
    assert info.info()["packaged weights"] == "matnet-lite0-experimental (experimental)"
    pack(calibrated, "matnet-mat-lite0", shelf, gate=gate(shelf.parent / "gate.json"))
    assert find().name == "matnet-mat-lite0"
    with pytest.raises(WeightsError, match="no weights 'b4': available: --weights=matnet-mat-lite"):
        find("b4")
    assert "matnet-mat-lite0 (passed the ship gate)" in info.info()["packaged weights"]
    (shelf / "damaged.json").write_text("{")
    assert "damaged.json is no manifest" in info.info()["packaged weights"]


def test_predict_says_what_it_found_and_does_not_call_a_face_real(
    shelf: Path, calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(moving_square(5)))
    options = ["--detector=none", "--batch_size=8", f"--out={tmp_path / 'out'}"]
    assert cli.COMMANDS(["predict", str(photo), *options]) == 2
    assert "error: no weights are the default" in capsys.readouterr().err
    manifest = pack(calibrated, "small", shelf, gate=gate(tmp_path / "gate.json"))
    assert cli.COMMANDS(["predict", str(photo), *options]) == 0
    shown = capsys.readouterr().out
    assert "no seam found  " in shown and f"no seam found: {LIMITS}\n" in shown
    about, line = map(json.loads, (tmp_path / "out/predictions.jsonl").read_text().splitlines())
    assert (about["weights"], about["sha256"]) == ("small", manifest.sha256)
    assert line["verdict"] == f"no seam found; {LIMITS}" and line["limits"] == LIMITS
    assert line["label"] == "real" and line["score"] < POINT.threshold
    assert cli.COMMANDS(["predict", str(photo), *options, "--resume"]) == 0
    assert "no seam found  " in capsys.readouterr().out
    assert cli.COMMANDS(["predict", str(photo), *options, "--threshold=0.999"]) == 0
    assert "real  " in capsys.readouterr().out  # a threshold of one's own promises nothing
    both = ["--weights=small", f"--workdir={calibrated}"]
    assert cli.COMMANDS(["predict", str(photo), *options, *both]) == 1
    assert "are two networks: give one" in capsys.readouterr().err


def test_predict_abstains_in_the_band(shelf: Path, calibrated: Path) -> None:
    pack(calibrated, "small", shelf)
    predictor = Predictor.from_pretrained("small-experimental", batch_size=8)
    image = pixels(1)[0]
    settings = dataclasses.replace(predictor.used_settings, detector="none")
    score = dataclasses.replace(predictor, settings=settings)(image).score
    assert score is not None
    for band, verdict in (((score - 0.1, score + 0.1), "uncertain"), ((0.0, score / 2), "fake")):
        point = dataclasses.replace(POINT, threshold=score / 2, uncertain=band)
        network = dataclasses.replace(predictor.network, operating_point=point)
        assert Predictor(network, settings=settings)(image).verdict == verdict


def test_photos_and_videos_are_scored_without_tensorflow(calibrated: Path, tmp_path: Path) -> None:
    """With what the core and the extra `predict` bring; what `data` and `video` bring is hidden."""
    pack(calibrated, "own", tmp_path)
    (tmp_path / "photo.jpg").write_bytes(jpeg(moving_square(5)))
    write_clip(tmp_path / "clip.mp4", 4)
    files = [str(tmp_path / name) for name in ("photo.jpg", "clip.mp4")]
    command = ["predict", *files, f"--weights={tmp_path / 'own-experimental.json'}"]
    command += ["--batch_size=8", "--num_frames=2"]
    script = (
        "import importlib.abc, sys\n"
        "hidden = 'tensorflow tensorflow_datasets array_record apache_beam mtcnn'.split()\n"
        "class Hide(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in hidden:\n"
        "            raise ModuleNotFoundError(f'{name} is hidden', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from matnet_jax.cli import COMMANDS\n"
        f"command = {command!r}\n"
        f"out = {str(tmp_path)!r}\n"
        "photo = [*command[:2], *command[3:]]\n"
        "assert COMMANDS([*photo, '--detector=none', f'--out={out}/photo']) == 0\n"
        "slow = {'scipy', 'sklearn', 'matplotlib', 'jinja2', 'orbax'}  # to import\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
        "assert COMMANDS([*command, '--detector=none', f'--out={out}/whole', '--overlay']) == 0\n"
        "assert COMMANDS([*command, f'--out={out}/faces']) == 3  # YuNet ran, and saw squares\n"
        "assert not set(hidden) & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "whole" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["score"] and not row["error"] for row in rows) and len(rows) == 2
    with open(tmp_path / "faces" / "predictions.csv", newline="") as file:
        assert all("no face in" in row["error"] for row in csv.DictReader(file))


def test_pack_is_a_command(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["pack", f"--workdir={calibrated}", "--name=own", f"--out={tmp_path}"]
    assert cli.COMMANDS(given) == 0
    assert "own-experimental.safetensors: 0." in (shown := capsys.readouterr().out)
    assert shown.endswith("step 3; experimental, never the default\n")
    assert isinstance(read_manifest(tmp_path / "own-experimental.json"), Manifest)


def test_what_is_in_the_package_is_small_and_whole() -> None:
    """The folder's notice is always there; each set of weights is of its manifest, and small."""
    held = {path.name for path in packaged.FOLDER.iterdir()}
    manifests = packaged.manifests()
    files = {f"{m.name}.json" for m in manifests} | {m.file for m in manifests}
    assert held == {"README.md"} | files
    for manifest in manifests:
        assert manifest.path.stat().st_size <= MAX_MEGABYTES * 1e6
        assert manifest.is_default != manifest.name.endswith("-experimental")
        assert manifest.load().step == manifest.training["step"]
