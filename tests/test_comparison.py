"""Pages that compare evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import SCRIPT, Page, scores

from matnet_jax.metrics import summarise
from matnet_jax.metrics.scores import write_metrics, write_scores
from matnet_jax.report.__main__ import main
from matnet_jax.report.comparison import as_text, compare, load_evaluations, write_comparison
from matnet_jax.report.render import write_report


def evaluation(folder: Any, table: Any, **options: Any) -> Any:
    write_scores(folder / "scores.csv", table)
    write_metrics(folder / "metrics.json", summarise(table, **options))
    return str(folder)


def worse(table: Any) -> Any:
    noise = np.random.default_rng(5).normal(0, 2.5, 24).repeat(5)
    log_odds = np.log(table["score"] / (1 - table["score"]))
    order = np.lexsort((table["frame"], table["label"], table["video_id"]))
    changed = table["score"].copy()
    changed[order] = 1 / (1 + np.exp(-(log_odds[order] + noise)))
    return {**table, "score": changed}


def test_compare_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = scores()
    a = evaluation(tmp_path / SCRIPT.replace("/", "_"), table)
    b = evaluation(tmp_path / "b", worse(table))
    out = tmp_path / "out" / "comparison.html"
    assert main(["compare", a, b, a, f"--out={out}", "--num_resamples=50"]) == 0
    made = Page(out.read_text(encoding="utf-8"))
    assert "script" not in made.tags and made.tags.count("svg") == 2
    printed = capsys.readouterr().out
    assert f"wrote {out}" in printed and "A  " + a in printed
    lines = [line.split() for line in printed.splitlines()]
    aucs = {line[0]: float(line[1]) for line in lines if len(line) == 7 and line[0] in "ABC"}
    expected = summarise(table)["video"]["auc"]
    assert aucs["A"] == aucs["C"] == pytest.approx(expected, abs=1e-4)
    difference = next(float(line[2]) for line in lines if line[:2] == ["B", "auc"])
    assert difference == pytest.approx(aucs["B"] - aucs["A"], abs=2e-4) and difference < 0
    assert next(float(line[2]) for line in lines if line[:2] == ["C", "auc"]) == 0.0


def test_comparison_warns_of_what_is_not_comparable(tmp_path: Path) -> None:
    table = scores()
    part = {name: column[table["video_id"] != "003"] for name, column in table.items()}
    a = evaluation(tmp_path / "a", table)
    b = evaluation(tmp_path / "b", part, aggregation="max", threshold=0.3)
    made = compare(load_evaluations([a, b]), num_resamples=20)
    notes = " ".join(made.warnings)
    assert "A and B share 22 videos; 2 are in A alone and 0 in B alone" in notes
    assert "differ in their aggregation: mean and max" in notes
    assert "differ in their threshold: 0.5 and 0.3" in notes
    assert made.differences["B"]["auc"].num_videos == 22


def test_comparison_sees_a_detector_blind_to_one_manipulation(tmp_path: Path) -> None:
    table = scores(subsets=("youtube", "Deepfakes", "FaceSwap"), labels=(0, 1, 1))
    blind = {**table, "score": np.where(table["subset"] == "FaceSwap", 0.05, table["score"])}
    folders = [evaluation(tmp_path / "a", table), evaluation(tmp_path / "b", blind)]
    made = compare(load_evaluations(folders), num_resamples=100)
    swap = made.subsets["FaceSwap"]["B"]
    assert swap.difference < -0.5 and swap.interval[1] < 0 and swap.num_videos == 24
    assert made.subsets["Deepfakes"]["B"].difference == 0.0
    write_comparison(tmp_path / "c.html", made)
    assert "AUC by manipulation" in Page((tmp_path / "c.html").read_text()).text


def test_seeds_and_several_data_sets_are_on_the_pages(tmp_path: Path) -> None:
    for seed in (0, 1):
        first, second = scores(), scores()
        table = {name: np.concatenate([first[name], second[name]]) for name in first}
        table["dataset"] = np.repeat(["ffpp", "celeb"], len(first["label"]))
        table["score"] = np.clip(table["score"] + 0.1 * seed * (table["dataset"] == "celeb"), 0, 1)
        metrics = summarise(table) | {"config": {"seed": seed, "model": {"name": "mat"}}}
        write_scores(tmp_path / f"{seed}/scores.csv", table)
        write_metrics(tmp_path / f"{seed}/metrics.json", metrics)
    write_report(tmp_path / "one.html", title="x", metrics=metrics, scores=table)
    assert "Cross-AUC" in Page((tmp_path / "one.html").read_text()).text
    comparison = compare(load_evaluations([tmp_path / "0", tmp_path / "1"]), num_resamples=5)
    [group] = comparison.seeds
    assert group.letters == ("A", "B") and group.seeds == (0, 1)
    write_comparison(tmp_path / "both.html", comparison)
    text = Page((tmp_path / "both.html").read_text()).text
    assert "Over seeds" in text and "Cross-AUC" in text
    mean, deviation = group.video["auc"].mean, group.video["auc"].deviation
    assert mean is not None and deviation is not None
    assert f"{100 * mean:.2f} ± {100 * deviation:.2f} % (2)" in text
    assert "over seeds: mean ± standard deviation (seeds)" in as_text(comparison)


def test_comparison_of_one_class_is_undefined_not_an_error(tmp_path: Path) -> None:
    table = scores(labels=(0,), subsets=("youtube",))
    folders = [evaluation(tmp_path / name, table) for name in "ab"]
    made = compare(load_evaluations(folders), num_resamples=5)
    assert made.differences["B"]["auc"].difference is None
    write_comparison(tmp_path / "c.html", made)
    text = Page((tmp_path / "c.html").read_text()).text
    assert "No evaluation has both real and fake videos" in text and "nan" not in text


def test_compare_says_what_it_can_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = evaluation(tmp_path / "a", scores())
    assert main(["compare", a, str(tmp_path / "none"), f"--out={tmp_path / 'c.html'}"]) == 2
    assert "no metrics at" in capsys.readouterr().err
    assert main(["compare", a, f"--out={tmp_path / 'c.html'}"]) == 2
    assert "got 1 evaluation(s) to compare, wanted 2 to 26" in capsys.readouterr().err
    flipped = scores()
    flipped["label"] = 1 - flipped["label"]
    b = evaluation(tmp_path / "b", flipped)
    assert main(["compare", a, b, f"--out={tmp_path / 'c.html'}"]) == 2
    assert "real in one evaluation and fake in the other" in capsys.readouterr().err
    assert not (tmp_path / "c.html").exists()
