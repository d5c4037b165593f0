"""The paper's tables, end to end at toy size on the embedded data."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
import pytest
from workdirs import tiny_config

import matnet_jax.evaluation.run
import matnet_jax.sweep.networks
import matnet_jax.sweep.runner
import matnet_jax.train.run
from data_pipeline.training.sources import DataError
from matnet_jax.config.build import build_model
from matnet_jax.config.schema import ConfigError, default_config
from matnet_jax.evaluation.scorer import Scorer
from matnet_jax.metrics.scores import write_metrics
from matnet_jax.runtime.config_files import load_config
from matnet_jax.runtime.preemption import Preempted
from matnet_jax.runtime.sharding import data_mesh
from matnet_jax.sweep import Cell, Row, Run, Sweep
from matnet_jax.sweep.command import COMMAND, load_sweep
from matnet_jax.sweep.data import Embedded, Records
from matnet_jax.sweep.figures import draw_attention
from matnet_jax.sweep.runner import read_sweep, run_config, run_sweep
from matnet_jax.sweep.table import as_csv, as_markdown

pytestmark = pytest.mark.usefixtures("no_charts")

NAMES = ("table1", "table2", "table3", "table4", "table5", "table6", "figures")

# Each run compiles two steps of its own. These fill at least a row of every table, and one table
# whole; MATNET_TEST_EVERY_RUN=1 trains all 22, which takes ten minutes.
RUN = ("maps-1", "mat", "mat-c40", "plain", "mat-dfdc", "none-none")
EVERY_RUN = os.environ.get("MATNET_TEST_EVERY_RUN") == "1"


def toy_config(**overrides: Any) -> Any:
    fields = {
        "model.image_size": 32,
        "data.synthetic_identities": 2,
        "train.batch_size": 4,
        "train.duration": "2 steps",
        "validation.every": "2 steps",
        "checkpoint.every": "1 steps",
    }
    return tiny_config(**(fields | overrides))


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = data_mesh(jax.devices()[:1])
    for module in (matnet_jax.train.run, matnet_jax.evaluation.run, matnet_jax.runtime.sharding):
        monkeypatch.setattr(module, "data_mesh", lambda: mesh)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of all sweeps, so that what they have in common runs once."""
    return tmp_path_factory.mktemp("paper")


def test_the_runs_of_the_tables_are_networks(tmp_path: Path) -> None:
    runs = {run.name: run for name in NAMES for run in load_sweep(name)[1].runs}
    for run in runs.values():
        for base in (default_config(), toy_config(**{"model.image_size": 64})):
            build_model(run_config(base, run, Records(tmp_path), tmp_path))


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("generalisation", "sbi_portraits"),
        ("weights", "weights_lite0"),
        ("weights_gate", "weights_lite0"),
    ],
)
def test_the_runs_on_made_pairs_are_networks(name: str, base: str, tmp_path: Path) -> None:
    _, sweep = load_sweep(name)
    for run in sweep.runs:
        config = run_config(load_config(base), run, Records(tmp_path), tmp_path)
        assert config.data.mixture and "records" not in " ".join(config.data.mixture)
        assert config.data.dir == str(tmp_path / "portraits")
        build_model(config)


def test_what_is_judged_by_is_scored_by_a_sweep_of_its_own() -> None:
    """The people to judge by are looked at once: choosing among runs never scores them."""
    (_, choosing), (_, judging) = load_sweep("weights"), load_sweep("weights_gate")
    assert choosing.data == ("portraits", "choose") and judging.data == ("portraits", "gate")
    by_name = {run.name: run for run in choosing.runs}
    assert all(by_name[run.name] == run for run in judging.runs)  # so nothing is trained again
    assert len(judging.runs) == 12  # three finalists of three seeds, and three others
    short = [run for run in choosing.runs if run not in judging.runs]
    assert all(run.changes["train.duration"] == "300 steps" for run in short)
    assert all("seed" not in run.changes for run in short)


def test_a_sweep_makes_the_records_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import data_pipeline.benchmark.make
    import matnet_jax.sweep.runner

    made: dict[str, Any] = {}

    def make(portraits: Path, out: Path, plan: Any, **about: Any) -> None:
        made.update(portraits=portraits, out=out, plan=plan, **about)

    def run(sweep: Sweep, workdir: Path, *, datasets: Any, **_: Any) -> dict[str, str]:
        made["data"] = datasets.description
        return {}

    monkeypatch.setattr(data_pipeline.benchmark.make, "make_benchmark", make)
    monkeypatch.setattr(matnet_jax.sweep.runner, "run_sweep", run)
    argv = ["--sweep=weights", f"--workdir={tmp_path}", "--config=configs/weights_lite0.py"]
    faces = [f"--portraits={tmp_path / 'faces'}", f"--ffpp={tmp_path / 'videos'}"]
    assert COMMAND([*argv, *faces]) == 0
    assert made["portraits"] == tmp_path / "faces" and made["out"] == tmp_path / "records"
    assert made["videos"] == {"ffpp": tmp_path / "videos"}
    assert made["data"] == f"records in {tmp_path / 'records'}"
    assert "not run" in (tmp_path / "weights.md").read_text()
    capsys.readouterr()
    assert COMMAND([*argv, *faces, "--embedded"]) == 1
    assert "give one of --records=DIR, --portraits=DIR" in capsys.readouterr().err
    made.clear()
    assert COMMAND([*argv, *faces, "--list"]) == 0
    assert made == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_table_from_training_to_its_cells(name: Any, workdir: Any) -> None:
    _, sweep = load_sweep(name)
    said: list[str] = []
    options = {"base": toy_config(), "datasets": Embedded(), "progress": said.append}
    only = [run.name for run in sweep.runs if run.name in RUN or EVERY_RUN]
    assert run_sweep(sweep, workdir, only=only, **options) == {}
    assert len(said) == len(only)
    metrics = read_sweep(sweep, workdir)
    rows = list(csv.DictReader(io.StringIO(as_csv(sweep, metrics))))
    for row in rows:
        if row["run"] in only:
            # Maps of an untrained network may be 0 everywhere, and then have no overlap.
            undefined = row["ours"] == "undefined" and row["metric"].startswith("attention")
            assert undefined or float(row["ours"]) >= 0
            assert row["step"] == "2"
        elif row["data"]:
            assert row["ours"] == "not run" and row["step"] == ""
    table = as_markdown(sweep, metrics, description="toy")
    assert table.count("| not run ") == sum(row["ours"] == "not run" for row in rows)
    assert "failed" not in table
    for name in (row.name for row in sweep.rows):
        assert f"| {name} |" in table


def test_runs_that_tables_share_are_one() -> None:
    runs: dict[str, Run] = {}
    for name in NAMES:
        for run in load_sweep(name)[1].runs:
            assert runs.setdefault(run.name, run) == run
    assert runs["mat"].changes == {} and len(runs) == 82
    assert sum(run.config is None for run in runs.values()) == 28  # of the house's base, ensembles


def test_the_published_figures() -> None:
    """One of each table, as SPEC's section 7 restates the paper."""
    for name, row, column, wanted in (
        ("table1", "SL_t = L2, SL_a = L5", "FF++ HQ ACC", "97.26"),
        ("table2", "MAT (Xception)", "LQ AUC", "87.26"),
        ("table2", "EfficientNet-B4", "HQ AUC", "99.18"),
        ("table3", "MAT", "log loss", "0.1679"),
        ("table4", "MAT", "Celeb-DF AUC", "67.44"),
        ("table5", "M = 3", "Celeb-DF AUC", "66.86"),
        ("table6", "AMS, soft AGDA", "FF++ HQ ACC", "96.78"),
    ):
        _, sweep = load_sweep(name)
        cells = list(csv.DictReader(io.StringIO(as_csv(sweep, {}))))
        (cell,) = [c for c in cells if (c["row"], c["column"]) == (row, column)]
        assert cell["published"] == wanted and cell["ours"] == "not run"


def test_others_are_marked_and_missing_cells_say_so() -> None:
    _, sweep = load_sweep("table2")
    lines = as_markdown(sweep, {}, description="toy").splitlines()
    (other,) = [line for line in lines if line.startswith("| F3-Net")]
    missing = (f"{figure} † | not run" for figure in ("90.43", "93.30", "97.52", "98.10"))
    assert other == f"| F3-Net | {' | '.join(missing)} |"
    (own,) = [line for line in lines if line.startswith("| MAT (EfficientNet-B4)")]
    assert own.count("not run") == 4
    assert "† Published figures of other systems, not run on that data here." in lines


def test_a_column_without_published_figures_is_ours_alone() -> None:
    rows = (Row("a", (Cell(None, "first", "x", "video.auc"), Cell(90.0))),)
    rows += (Row("b", (None, Cell(None, "first", "x", "by_subset.warp.video.auc"))),)
    sweep = Sweep("t", ("AUC", "other"), (Run("first", "x"),), rows)
    metrics = {
        "video": {"auc": 0.75},
        "intervals": {"video": {"auc": [0.5, 1.0]}},
        "by_subset": {"warp": {"video": {"auc": 0.25}}},
    }
    table = as_markdown(sweep, {("first", "x"): metrics}, description="toy").splitlines()
    assert "|  | AUC | other, paper | other, ours |" in table
    assert "| a | 75.00 [50.00, 100.00] | 90.00 † | – |" in table
    assert "| b | – | – | 25.00 |" in table


def small_sweep(**changes: Any) -> Any:
    """One run that trains, and one that starts from it."""
    runs = (Run("first", "a", changes), Run("second", "b", starts_from="first"))
    rows = tuple(Row(run.name, (Cell(1.0, run.name, "a", "frame.acc"),)) for run in runs)
    return Sweep("small", ("ACC",), runs, rows)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is trained and evaluated, with nothing computed."""
    made: list[str] = []

    def train(config: Any, folder: Any) -> Any:
        if folder.name == "ril-none":
            raise RuntimeError("the loss became NaN")
        made.append(f"train {folder.name}")
        return {"step": 2, "best_step": 2}

    def evaluate(config: Any, folder: Any, *, out: Any, checkpoint: Any) -> None:
        assert checkpoint == "best"
        made.append(f"evaluate {folder.name} on {out.name}")
        plain = json.loads(config.to_json_best_effort())
        metrics = {"frame": {"acc": 0.75}, "config": plain, "checkpoint": {"step": 2}}
        write_metrics(out / "metrics.json", metrics)

    monkeypatch.setattr(matnet_jax.sweep.networks, "train", train)
    monkeypatch.setattr(matnet_jax.sweep.runner, "evaluate", evaluate)
    return made


def test_a_rerun_does_only_what_is_missing(tmp_path: Path, calls: Any) -> None:
    options = {"datasets": Embedded(), "progress": lambda text: None}
    sweep = small_sweep()

    def run(only: Any = None, **fields: Any) -> Any:
        calls.clear()
        return run_sweep(sweep, tmp_path, base=toy_config(**fields), only=only, **options)

    assert run(only=["second"]) == {"second": "starts from first, which is not trained"}
    assert calls == []
    assert run(only=["first"]) == {}
    assert calls == ["train first", "evaluate first on a"]
    assert run() == {}
    assert calls == ["train second", "evaluate second on a"]
    (tmp_path / "first/eval/a/metrics.json").unlink()
    assert run() == {} and calls == ["evaluate first on a"]
    # Another config is another evaluation, and asks `train`, which says what it can continue.
    assert run(**{"eval.threshold": 0.4}) == {}
    assert len(calls) == 4


def test_a_run_that_fails_leaves_the_others(tmp_path: Path, calls: Any) -> None:
    _, sweep = load_sweep("figures")
    options = {"base": toy_config(), "datasets": Embedded(), "progress": lambda text: None}
    failed = run_sweep(sweep, tmp_path, only=["ril-none", "mat"], **options)
    assert failed == {"ril-none": "RuntimeError: the loss became NaN"}
    assert calls == ["train mat", "evaluate mat on ffpp-c23"]
    table = as_markdown(sweep, read_sweep(sweep, tmp_path), description="toy", failed=failed)
    lines = {line.split(" | ")[0]: line for line in table.splitlines()}
    assert "failed" in lines["| Figure 5: RIL alone"]
    assert "not run" in lines["| Figure 4: no RIL, no AGDA"]
    assert "ril-none failed: RuntimeError: the loss became NaN" in table


def test_a_run_that_is_asked_to_end_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any) -> None:
        raise Preempted("saved at step 1")

    monkeypatch.setattr(matnet_jax.sweep.networks, "train", train)
    options = {"base": toy_config(), "datasets": Embedded(), "progress": lambda text: None}
    with pytest.raises(Preempted, match="saved at step 1"):
        run_sweep(small_sweep(), tmp_path, **options)


@pytest.mark.parametrize("text", ["{}", "[]", '{"config": {'])
def test_a_note_that_says_nothing_is_written_again(tmp_path: Path, calls: Any, text: str) -> None:
    options = {"base": toy_config(), "datasets": Embedded(), "progress": lambda text: None}
    for note in ("first/trained.json", "first/eval/a/metrics.json"):
        (tmp_path / note).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / note).write_text(text)
    assert run_sweep(small_sweep(), tmp_path, only=["first"], **options) == {}
    assert calls == ["train first", "evaluate first on a"]


def test_what_is_wrong_is_said_before_training(tmp_path: Path) -> None:
    sweep = small_sweep()
    with pytest.raises(DataError, match=r"a: no folder .*\n  b: no folder"):
        run_sweep(sweep, tmp_path, base=toy_config(), datasets=Records(tmp_path / "records"))
    with pytest.raises(ConfigError, match="no runs third; this sweep has first, second"):
        run_sweep(sweep, tmp_path, base=toy_config(), datasets=Embedded(), only=["third"])
    with pytest.raises(ConfigError, match=r"run first: (?s:.*)num_attentions must be at least 1"):
        bad = small_sweep(**{"model.num_attentions": 0})
        run_sweep(bad, tmp_path, base=toy_config(), datasets=Embedded())
    with pytest.raises(ValueError, match=r"no sweep 'table7'; there are figures, generalisation"):
        load_sweep("table7")
    with pytest.raises(ValueError, match="starts from first, which is not before it"):
        Sweep("wrong", (), (Run("second", "b", starts_from="first"),), ())


def test_the_papers_figures_of_trained_networks(
    workdir: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of networks with unlike numbers of maps; the faces are the first run's."""
    names = ("none-none", "maps-1", "plain")
    runs = {run.name: run for name in NAMES for run in load_sweep(name)[1].runs}
    sweep = Sweep("shown", (), tuple(runs[name] for name in names), ())
    options = {"base": toy_config(), "datasets": Embedded(), "progress": lambda text: None}
    assert run_sweep(sweep, workdir, **options) == {}  # nothing to do where the tables are done
    with_maps = [workdir / name for name in names[:2]]
    draw_attention(with_maps, tmp_path / "figure.png", num_faces=4)
    picture = cv2.imread(str(tmp_path / "figure.png"))
    assert picture.shape[1] > 4 * 112 and picture.shape[0] > 4 * 112  # a face, two maps, one
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    with pytest.raises(ValueError, match="no suffix of png, pdf, svg"):
        draw_attention(with_maps, tmp_path / "figure.jpg")
    draw_attention([workdir / "plain"], tmp_path / "plain.png", num_faces=4)  # class activation
    monkeypatch.setattr(Scorer, "overlays", lambda *_: [])
    with pytest.raises(ValueError, match=r"plain is a plain classifier.*: it has no heat maps"):
        draw_attention([workdir / "plain"], tmp_path / "figure.png")
