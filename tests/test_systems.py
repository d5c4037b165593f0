"""The other systems of the paper's tables: all on one protocol, and docs/systems.md has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from workdirs import tiny_config

from configs.sweeps.runs import SYSTEMS
from matnet_jax.config.build import build_model, build_objective
from matnet_jax.config.data import build_sampler, open_source, training_batches
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.detectors.variables import abstract_variables, init_variables
from matnet_jax.evaluation.costs import measure_costs
from matnet_jax.metrics import summarise
from matnet_jax.metrics.scores import read_metrics, read_scores, write_scores
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.runtime.config_files import load_config
from matnet_jax.sweep import Fitted, Released, Sweep
from matnet_jax.sweep.command import load_sweep
from matnet_jax.sweep.data import Embedded
from matnet_jax.sweep.networks import make_network
from matnet_jax.sweep.runner import read_sweep, run_config, run_sweep
from matnet_jax.sweep.table import as_csv, as_markdown
from matnet_jax.train.plan import build_optimizer, build_plan
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step

pytestmark = pytest.mark.usefixtures("two_devices", "no_charts")

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs" / "systems").glob("*.py"))
# Newer than the paper: docs/transformers.md has them.
NEWER = {"gend", "effort", "qtfp"}
FAMILY_NAMES = sorted(set(FAMILIES) - {"mat", "classifier"} - NEWER)
NAME, SWEEP = load_sweep("systems")
# A run of each kind: trained on records, fitted, and trained on pairs.
WHOLE = ("meso4", "steg_features", "face_xray")
QUICK = {
    "train.duration": "2 steps",
    "validation.every": "2 steps",
    "data.synthetic_identities": 2,
    "eval.num_resamples": 20,
}


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Validation and the evaluations of a run are one program, which is compiled once."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in names}
    for name, value in zip(names, (str(tmp_path_factory.mktemp("compiled")), 0.5), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def run(workdir: Path, *names: str, **options: Any) -> dict[str, str]:
    fields = {"datasets": Embedded(), "overrides": QUICK, "progress": lambda text: None}
    return run_sweep(SWEEP, workdir, base=tiny_config(), only=names, **(fields | options))


def figures(workdir: Path, name: str) -> dict[str, str]:
    """A run's cells by column."""
    rows = csv.DictReader(io.StringIO(as_csv(SWEEP, read_sweep(SWEEP, workdir))))
    return {row["column"]: row["ours"] for row in rows if row["run"] == name}


@pytest.mark.parametrize("name", WHOLE)
def test_from_its_config_to_its_row(name: str, tmp_path: Path) -> None:
    assert run(tmp_path, name) == {}
    found = figures(tmp_path, name)
    assert len(found) == 6
    for column, figure in found.items():
        assert np.isfinite(float(figure)), column
    metrics = read_metrics(tmp_path / name / "eval" / "celeb-df" / "metrics.json")
    assert metrics["intervals"]["frame"]["auc"]
    assert metrics["checkpoint"]["step"] == (0 if name == "steg_features" else 2)


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - set(WHOLE)))
def test_its_run_makes_batches_that_its_step_takes(name: str, tmp_path: Path) -> None:
    """By shapes: tests/test_families.py trains, evaluates and predicts with every family."""
    [own] = [run for run in SWEEP.runs if run.name == name]
    config = run_config(tiny_config(), own, Embedded(), tmp_path, QUICK)
    model = build_model(config)
    source = open_source(config, "train", model.image_size, model.clip_length)
    sampler = build_sampler(config, source)
    with closing(training_batches(config, source, sampler, model.image_size, 0)) as batches:
        batch = next(batches)
    assert set(np.unique(batch["label"])) == {0, 1}
    plan = build_plan(config, sampler.steps_per_epoch)
    tx = build_optimizer(config, plan.learning_rate)
    step = make_train_step(model, build_objective(config, model, plan.steps), tx)
    state = jax.eval_shape(
        lambda variables: create_train_state(model, tx, 0, variables=variables),
        abstract_variables(model),
    )
    after, metrics = jax.eval_shape(step, state, batch, jax.random.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert metrics["loss"].shape == ()


def test_every_system_and_every_config_of_one_is_there() -> None:
    assert set(SYSTEMS) == {path.stem for path in CONFIGS}
    assert set(FAMILY_NAMES) <= {load_config(f"systems/{name}").model.name for name in SYSTEMS}
    assert {run.name for run in SWEEP.runs} >= set(SYSTEMS) | {"mat", "plain", "plain-xception"}
    titles = [row.name for row in SWEEP.rows]
    assert len(set(titles)) == len(titles) == len(SWEEP.runs)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_the_page_has_its_row(name: str) -> None:
    lines = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and f"`{name}`" in line]
    assert rows, f"docs/systems.md has no row of `{name}`"
    assert f"| {FAMILIES[name].provenance} |" in rows[0]
    assert f"{name}.py" in {path.name for path in CONFIGS}


@pytest.mark.parametrize("name", sorted(NEWER))
def test_a_newer_system_has_its_part_of_a_page(name: str) -> None:
    page = (ROOT / "docs" / "transformers.md").read_text(encoding="utf-8")
    assert f"## {FAMILIES[name].title}\n" in page
    assert list((ROOT / "configs").glob(f"{name}_*.py"))


def test_a_network_as_released_is_read_and_scored(shared_weights: Path, tmp_path: Path) -> None:
    """Of the authors' files, on images of the size that they are for."""
    names = "meso4-df", "multi_task-full"
    assert run(tmp_path, *names, released=shared_weights) == {}
    for name in names:
        assert all(np.isfinite(float(figure)) for figure in figures(tmp_path, name).values())
    assert float(figures(tmp_path, "meso4-df")["parameters"]) == 27_977
    made = (tmp_path / "meso4-df" / "trained.json").stat().st_mtime_ns
    assert run(tmp_path, "meso4-df", released=shared_weights) == {}
    assert (tmp_path / "meso4-df" / "trained.json").stat().st_mtime_ns == made  # nothing again


def test_released_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    failed = run(tmp_path, "meso4-df", released=tmp_path)
    assert failed == {"meso4-df": f"no {tmp_path}/mesonet/Meso4_DF.h5, of the released files"}
    table = as_markdown(SWEEP, {}, description="toy", failed=failed)
    assert "| Meso4, Deepfake (port; as released) | 84.70 ‡ † | failed |" in table
    assert "--released=DIR" in run(tmp_path, "meso4-df")["meso4-df"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_released_files_their_runs_are_left_out(tmp_path: Path) -> None:
    released = tuple(run for run in SWEEP.runs if isinstance(run, Released))
    assert len(released) == 7
    only = Sweep("released", (), released, ())
    assert run_sweep(only, tmp_path, base=tiny_config(), datasets=Embedded()) == {}
    assert not list(tmp_path.iterdir())


def test_what_was_cut_off_is_made_again_and_what_differs_is_kept(tmp_path: Path) -> None:
    steg = next(run for run in SWEEP.runs if run.name == "steg_features")
    assert isinstance(steg, Fitted)
    config = run_config(tiny_config(), steg, Embedded(), tmp_path, QUICK)
    folder = tmp_path / steg.name
    partial = tmp_path / "steg_features.partial" / "checkpoints" / "0"
    partial.mkdir(parents=True)
    made = make_network(steg, config, folder, released=None)
    assert made["c"] > 0 and not partial.exists()
    # With the network itself: what is cut off between the two would be taken for another config's.
    assert read_metrics(folder / "trained.json")["c"] == made["c"]
    assert load_trained(folder, "best").model.description
    with pytest.raises(FileExistsError, match=r"steg_features has .* another config: delete it"):
        make_network(steg, config, folder, released=None)


def test_what_was_fitted_is_scored_again_where_only_scoring_changed(tmp_path: Path) -> None:
    name = "steg_features"
    assert run(tmp_path, name) == {}
    made = (tmp_path / name / "trained.json").read_bytes()
    other = QUICK | {"eval.num_resamples": 7, "train.duration": "5 steps"}
    assert run(tmp_path, name, overrides=other) == {}
    assert (tmp_path / name / "trained.json").read_bytes() == made
    metrics = read_metrics(tmp_path / name / "eval" / "celeb-df" / "metrics.json")
    assert metrics["config"]["eval"]["num_resamples"] == 7
    failed = run(tmp_path, name, overrides=QUICK | {"seed": 3})
    assert "was made by another config: delete it" in failed[name]


def write_member(folder: Path, score: float) -> None:
    """Scores of one real and one fake video, as a member's evaluation writes them."""
    names = ("dataset", "subset", "compression", "split")
    columns: dict[str, Any] = {name: np.array(["x", "x"]) for name in names}
    columns |= {"frame": np.zeros(2, int), "face": np.zeros(2, int), "label": np.array([0, 1])}
    columns |= {"score": np.full(2, score), "video_id": np.array(["a", "b"])}
    write_scores(folder / "eval" / "dfdc" / "scores.csv", columns)


def test_an_ensemble_s_row_blends_its_members(tmp_path: Path) -> None:
    """From members' runs to the log loss of Table 3; the blend by hand."""
    _, table = load_sweep("table3")
    names = [run.name for run in table.runs if run.name.startswith("wm")]
    assert names == ["wm/xception", "wm/wsdan-xception", "wm/wsdan-efficientnet-b3", "wm"]
    fields = {"datasets": Embedded(), "overrides": QUICK, "progress": lambda text: None}
    failed = run_sweep(table, tmp_path, base=tiny_config(), only=["wm"], **fields)
    assert "no scores at" in failed["wm"] and "wsdan:efficientnet-b3" in failed["wm"]
    for run, score in zip(names[:3], (0.1, 0.6, 0.9), strict=True):
        write_member(tmp_path / run, score)
    assert run_sweep(table, tmp_path, base=tiny_config(), only=["wm"], **fields) == {}
    scores = read_scores(tmp_path / "wm" / "eval" / "dfdc" / "scores.csv")
    np.testing.assert_allclose(scores["score"], 0.2 * 0.1 + 0.7 * 0.6 + 0.1 * 0.9, atol=1e-6)
    (row,) = [row for row in table.rows if row.name == "WM"]
    wanted = summarise(scores)["video"]["log_loss"]
    assert wanted == pytest.approx(-np.log([0.53, 0.47]).mean(), abs=1e-6)
    text = as_markdown(table, read_sweep(table, tmp_path), description="toy", drawn=True)
    assert f"| {row.name} | 0.1787 † | {wanted:.4f} |" in text
    real = as_markdown(table, read_sweep(table, tmp_path), description="records")
    assert f"| {row.name} | 0.1787 | {wanted:.4f} |" in real  # it ran on that data


def test_costs_are_of_the_network() -> None:
    config = load_config("meso4")
    config.model.image_size = 64
    model = build_model(config)
    costs = measure_costs(model, init_variables(model, 0), batch_size=2)
    assert costs.parameters == 12_617 and costs.batch_size == 2
    # Four convolutions at 64, 32, 16 and 8 pixels, a product and a sum a tap; those that fall on
    # the padding are not counted.
    taps = 9 * 3 * 8 * 64**2 + 25 * 8 * 8 * 32**2 + 25 * 8 * 16 * 16**2 + 25 * 16 * 16 * 8**2
    assert costs.gflop is not None and 0.9 < costs.gflop * 1e9 / (2 * taps) < 1
    assert costs.images_per_second > 0
