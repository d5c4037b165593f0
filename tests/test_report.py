"""The report: what it says, that it stands alone, and that a browser opens it without complaint."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import HISTORY, SCRIPT, Page, overlay, page, scores

from matnet_jax.metrics import summarise
from matnet_jax.metrics.history import read_history
from matnet_jax.report.render import write_report


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Any:
    table = scores()
    table["video_id"] = np.where(table["video_id"] == "003", SCRIPT, table["video_id"])
    more = {**table, "subset": np.where(table["label"] == 1, SCRIPT, "youtube")}
    fakes = table["label"] == 1
    table = {k: np.concatenate([v, more[k][fakes]]) for k, v in table.items()}
    lost = {
        "dataset": "ffpp",
        "subset": "Deepfakes",
        "compression": "c23",
        "video_id": SCRIPT + "2",
        "label": 1,
    }
    metrics = summarise(
        table, coverage={"without_face": [lost]}, num_resamples=20, validation=scores()
    )
    metrics["checkpoint"] = SCRIPT
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(
        path,
        title=SCRIPT,
        metrics=metrics,
        scores=table,
        history={**HISTORY, SCRIPT: np.ones(4)},
        overlays=[overlay(0, SCRIPT), overlay(1, "a fake", 1)],
        most_wrong=[overlay(1, SCRIPT)],
        config={"model": {SCRIPT: SCRIPT, "num_attentions": 4}},
        versions={"jax": SCRIPT},
    )
    return path


def test_everything_is_there(full: Any) -> None:
    made = Page(full.read_text(encoding="utf-8"))
    for heading in (
        "Metrics",
        "By manipulation",
        "Coverage",
        "Curves",
        "Most wrong videos",
        "Attention maps",
        "Training",
        "How it was made",
    ):
        assert heading in made.text
    for chart in (
        "ROC curve",
        "Precision and recall",
        "Scores of videos",
        "Calibration",
        "AUC by manipulation",
    ):
        assert chart in made.text
    # 6 charts, 3 subsets' histograms, 3 training curves.
    assert made.tags.count("svg") == 13
    assert made.tags.count("img") == 3 * 5
    assert "model.num_attentions" in made.text
    assert "Fitted threshold" in made.text


def test_the_verdict_states_the_figures(tmp_path: Path) -> None:
    table = scores()
    metrics = summarise(table)
    made = page(tmp_path, table, metrics=metrics)
    assert f"{100 * metrics['video']['auc']:.2f} %" in made.text
    assert f"in {100 * metrics['video']['auc']:.1f} of 100 pairs" in made.text
    assert "12 real and 12 fake videos: one video more or less" in made.text  # few


def test_names_stay_text(full: Any) -> None:
    html = full.read_text(encoding="utf-8")
    made = Page(html)
    assert "script" not in made.tags
    assert "<script" not in html
    # Title, heading, checkpoint, table rows, captions, config, charts, …
    assert made.text.count("alert(1)") >= 8


def test_the_page_stands_alone(full: Any) -> None:
    html = full.read_text(encoding="utf-8")
    made = Page(html)
    for name, value in made.attributes:
        if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert value.startswith(("data:", "#")), (name, value)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    # Namespaces are names; nothing else looks like an address.
    rest = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert "http://" not in rest and "https://" not in rest


def test_charts_do_not_share_ids_and_take_the_pages_colour(full: Any) -> None:
    html = full.read_text(encoding="utf-8")
    per_chart = [
        set(re.findall(r' id="([^"]+)"', svg)) for svg in re.findall(r"<svg.*?</svg>", html, re.S)
    ]
    names = [name for ids in per_chart for name in ids]
    assert len(names) == len(set(names))
    assert "currentColor" in html and "#010203" not in html


@pytest.mark.parametrize(("label", "lacks"), [(0, "fake"), (1, "real")])
def test_one_class_gives_a_message_in_place_of_the_curves(
    tmp_path: Path, label: Any, lacks: Any
) -> None:
    table = scores(labels=(label,), subsets=("youtube",))
    made = page(tmp_path, table)
    assert f"Only one class: there are no {lacks} videos among the 12 scored" in made.text
    assert made.text.count("The curve needs both classes.") == 3
    assert "ROC curve" in made.text
    assert "—" in made.text and "nan" not in made.text.lower()
    assert ("title", f"there are no {lacks} videos among the 12 scored") in made.attributes
    assert made.tags.count("svg") == 3  # the histograms remain, and risk against coverage


def test_no_faces_give_a_message(tmp_path: Path) -> None:
    table = {name: column[:0] for name, column in scores().items()}
    made = page(tmp_path, table)
    assert "No face was scored, so there is nothing to measure" in made.text
    assert "No fakes were scored" in made.text
    assert "No sample faces were given" in made.text
    assert "No training log was given" in made.text
    assert "svg" not in made.tags and "nan" not in made.text.lower()


def test_a_perfect_detector_has_no_wrong_videos(tmp_path: Path) -> None:
    table = scores()
    table["score"] = table["label"].astype(float)
    assert "No video is on the wrong side of 0.5" in page(tmp_path, table).text


def test_metrics_of_the_contracts_bare_layout_are_enough(tmp_path: Path) -> None:
    keys = ("acc", "auc", "eer", "ap", "log_loss", "n_real", "n_fake")
    table = scores()
    whole = summarise(table)
    bare = {level: {k: whole[level][k] for k in keys} for level in ("frame", "video")}
    made = page(tmp_path, table, metrics={**bare, "by_subset": {}, "coverage": {}})
    assert "Log loss" in made.text and "Partial AUC" not in made.text


def test_a_failed_write_keeps_the_old_report(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    table = scores()
    with pytest.raises(KeyError):
        write_report(path, title="x", metrics={}, scores=table)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


# ---------------------------------------------------------------- training curves


def test_history_is_read_with_gaps_and_without_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,epoch,split,loss,auc\n10,0.5,train,0.9,\n20,1,val,,0.75\n30,1.5,tra")
    history = read_history(path)
    assert history["step"].tolist() == [10, 20]
    assert history["split"].tolist() == ["train", "val"]
    np.testing.assert_array_equal(history["loss"], [0.9, np.nan])
    assert read_history(tmp_path / "none.csv") is None
    path.write_text("step,loss\n1,high\n")
    with pytest.raises(ValueError, match=r"no number.*high"):
        read_history(path)
    path.write_text("step,loss\n1,0.9\n2,0.\n3\n4,0.7,0.1\n5,0.6\n")  # lines torn and gone on with
    assert read_history(path)["step"].tolist() == [1, 2, 5]
    path.write_text("")
    assert read_history(path) is None


# ---------------------------------------------------------------- in a browser


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_opens_it_without_complaint_and_without_sideways_scrolling(
    full: Any, tmp_path: Path, width: Any
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium on this machine")
    # The frame gives the page its width whatever the smallest window is; the outer page may run
    # the script that measures it.
    inner = full.read_text(encoding="utf-8").replace("&", "&amp;").replace('"', "&quot;")
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<iframe id="f" style="width:{width}px;height:900px;border:0" srcdoc="{inner}"></iframe>'
        "<script>onload = () => { const d = document.getElementById('f').contentDocument;"
        "const broken = [...d.images].filter(i => !i.naturalWidth).length;"
        "const flat = [...d.querySelectorAll('svg')].filter(s => s.clientHeight < 50).length;"
        "document.title = `measured ${d.documentElement.scrollWidth} ${broken} ${flat}"
        " ${d.images.length}`; }</script>",
        encoding="utf-8",
    )
    result = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1400,1000",
            "--virtual-time-budget=5000",
            "--dump-dom",
            outer.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    complaints = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    measured = re.search(r"<title>measured (\d+) (\d+) (\d+) (\d+)</title>", result.stdout)
    assert measured, result.stdout[:300] + result.stderr[-2000:]
    scroll_width, broken, flat, images = map(int, measured.groups())
    assert scroll_width <= width
    assert (broken, flat, images) == (0, 0, 15)


# ---------------------------------------------------------------- robustness


def test_robustness_curves_and_their_gaps(tmp_path: Path) -> None:
    table = scores()
    points = [
        {"strength": 20, "video_auc": 0.9, "frame_auc": 0.85},
        {"strength": 30, "video_auc": 0.8},
        {"strength": 40, "video_auc": None},
    ]
    metrics = {
        **summarise(table),
        "robustness": {"H.264 CRF": points, "blur": [{"strength": 1, "video_auc": None}]},
    }
    plain = page(tmp_path, table)
    made = page(tmp_path, table, metrics=metrics)
    assert "Robustness" in made.text and "Robustness" not in plain.text
    assert made.tags.count("svg") == plain.tags.count("svg") + 1
    assert "AUC is undefined at every strength" in made.text
