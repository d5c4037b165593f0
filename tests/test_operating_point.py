"""From an evaluation's operating point to the labels of prediction, and what pages say of it."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stub_network import SETTINGS, Brightness, squares, stub
from test_evaluate import sources
from videos import jpeg
from workdirs import tiny_config, workdir

from matnet_jax.checkpoints.export import export_stablehlo
from matnet_jax.checkpoints.operating_point import read_operating_point, write_operating_point
from matnet_jax.config import ConfigError
from matnet_jax.evaluation.attributes import read_attributes
from matnet_jax.evaluation.run import evaluate
from matnet_jax.metrics import OperatingPoint
from matnet_jax.metrics.gate import Criteria
from matnet_jax.metrics.operating_point import fit_uncertain
from matnet_jax.predict import Predictor
from matnet_jax.predict.files import predict_files, print_summary
from matnet_jax.predict.network import exported_network, trained_network
from matnet_jax.pretrained.trained import load_trained

__all__ = ["sources", "squares", "stub"]  # fixtures

POINT = OperatingPoint(0.6, (0.4, 0.7), false_alarm_rate=0.01, max_risk=0.05, fitted_on="val")


def test_from_evaluation_to_prediction_and_export(sources: Any, tmp_path: Path) -> None:
    fields = {"false_alarm_rate": 0.4, "max_risk": 0.3, "resample": "identity", "num_resamples": 9}
    config = tiny_config(**{f"eval.{name}": value for name, value in fields.items()})
    workdir(tmp_path, config)
    (tmp_path / "groups.csv").write_text("video_id,group\n000,dark\n001,light\n")
    config.eval.attributes = str(tmp_path / "groups.csv")
    metrics = evaluate(config, tmp_path)
    written = json.loads((tmp_path / "eval/test/metrics.json").read_text())
    assert written == metrics
    found = metrics["operating_point"]
    assert found["fitted_on"] == "split val of the embedded data set"
    assert (found["num_real"], found["num_fake"]) == (3, 2) and found["false_alarms"] <= 1
    assert found["measured"]["videos"] == 3
    assert metrics["by_group"]["group"]["groups"]["dark"]["n_real"] == 1
    assert metrics["by_group"]["group"]["unknown"] == 1
    assert metrics["intervals"]["resample"]["unit"] == "video"  # each video has its own source_id
    page = (tmp_path / "eval/test/report.html").read_text()
    for text in ("<h2>Operating point</h2>", "<h2>By group</h2>", "Risk and coverage"):
        assert text in page
    assert "People were to be drawn, but no two videos share" in page

    point = read_operating_point(tmp_path, step=3)
    assert point is not None and point.threshold == found["threshold"]
    network = trained_network(tmp_path, batch_size=8)
    assert network.operating_point == point
    assert Predictor(network, settings=SETTINGS).operating_point == point
    loaded = load_trained(tmp_path)
    export_stablehlo(
        loaded.model,
        loaded.variables,
        tmp_path / "exported",
        platforms=("cpu",),
        about={"operating_point": point.as_json()},
    )
    assert exported_network(tmp_path / "exported").operating_point == point


def test_a_point_of_another_checkpoint_or_damaged_is_not_used(tmp_path: Path) -> None:
    assert read_operating_point(tmp_path, step=3) is None
    write_operating_point(tmp_path, POINT, step=3)
    assert read_operating_point(tmp_path, step=3) == POINT
    with pytest.warns(UserWarning, match="fitted to step 3, not to step 6, and is not used"):
        assert read_operating_point(tmp_path, step=6) is None
    (tmp_path / "operating-point.json").write_text('{"step": 3}')
    with pytest.raises(ValueError, match=r"operating-point.json is damaged"):
        read_operating_point(tmp_path, step=3)


def test_prediction_abstains_inside_the_band(
    squares: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = dataclasses.replace(Brightness().network, operating_point=POINT)
    predictor = Predictor(network, settings=SETTINGS)
    files = []
    for name, level in (("dark", 40), ("grey", 128), ("bright", 230)):
        path = tmp_path / f"{name}.png"
        path.write_bytes(jpeg(np.full((120, 160, 3), level, np.uint8)))
        files.append(str(path))
    done = predict_files(predictor, files, tmp_path / "out")
    assert [p.label for p in done] == ["real", "uncertain", "fake"]
    rows = list(csv.DictReader((tmp_path / "out/predictions.csv").open()))
    assert [row["abstained"] for row in rows] == ["false", "true", "false"]
    assert {row["threshold"] for row in rows} == {"0.6"}
    assert print_summary(done, tmp_path) == 0
    assert "3 of 3 files scored, 1 of them uncertain" in capsys.readouterr().out
    again = predict_files(predictor, files, tmp_path / "out", resume=True)
    assert again == done
    # A threshold of one's own overrides it all.
    own = Predictor(network, settings=SETTINGS, threshold=0.3)
    assert [p.label for p in predict_files(own, files, tmp_path / "own")] == [
        "real",
        "fake",
        "fake",
    ]
    with pytest.raises(ValueError, match=r"fitted with the aggregation 'mean', not 'max'"):
        Predictor(network, settings=SETTINGS, aggregation="max")
    assert Predictor(network, settings=SETTINGS, aggregation="max", threshold=0.5)


def test_rates_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"eval.max_risk must be above 0, below 1"):
        evaluate(tiny_config(**{"eval.max_risk": 0.0}), tmp_path)
    for risk in (5, 0, float("nan")):
        with pytest.raises(ValueError, match=rf"max_risk is {risk}, wanted a share in \(0, 1\)"):
            fit_uncertain(np.array([0, 1]), np.array([0.1, 0.9]), 0.5, risk)
    with pytest.raises(ValueError, match=r"min_found is 60, wanted a share in \[0, 1\]"):
        Criteria(min_found=60)


COLUMNS = {
    "dataset": np.array(["a", "a", "b"]),
    "video_id": np.array(["1", "2", "1"]),
    "source_id": np.array(["p", "p", "q"]),
}


def test_attributes_by_video_and_by_person(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("dataset,video_id,tone,gender\na,1,dark, f \nb,1,light,\n")
    found = read_attributes(path, COLUMNS)
    assert {name: column.tolist() for name, column in found.items()} == {
        "tone": ["dark", "", "light"],
        "gender": ["f", "", ""],
    }
    path.write_text("source_id,tone\np,dark\n")
    assert read_attributes(path, COLUMNS)["tone"].tolist() == ["dark", "dark", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tone\ndark\n", "has the columns tone; wanted video_id or source_id"),
        ("video_id\n1\n", "and an attribute or more"),
        ("video_id,tone\n1,dark\n1,light\n", "line 3: video_id=1 has other attributes than before"),
        (
            "video_id,tone\n9,dark\n",
            r"none of the videos scored: its video_id are such as \('9',\)",
        ),
    ],
)
def test_attributes_that_do_not_fit_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_attributes(tmp_path / "x.csv", COLUMNS)
    with pytest.raises(FileNotFoundError, match="no attributes at"):
        read_attributes(tmp_path / "y.csv", COLUMNS)
