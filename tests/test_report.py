"""The report: what it says, that it stands alone, and that a browser opens it without complaint."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from matnet_jax.metrics import summarise
from matnet_jax.metrics.history import read_history
from matnet_jax.metrics.scores import write_metrics, write_scores
from matnet_jax.report.__main__ import main
from matnet_jax.report.comparison import as_text, compare, load_evaluations, write_comparison
from matnet_jax.report.overlays import Overlay, statistics, tiles
from matnet_jax.report.render import write_report

SCRIPT = "<script>alert(1)</script>&$x$.mp4"


def scores(
    num_videos: int = 12,
    num_frames: int = 5,
    labels: Any = (0, 1),
    subsets: Any = ("youtube", "Deepfakes"),
) -> Any:
    rng = np.random.default_rng(0)
    rows = []
    for video in range(num_videos):
        for subset, label in zip(subsets, labels, strict=True):
            center = rng.normal(2.0 * label - 1.0, 0.8)
            for frame in range(num_frames):
                value = 1 / (1 + np.exp(-rng.normal(center, 0.5)))
                rows.append(("ffpp", subset, "c23", "test", f"{video:03d}", frame, 0, label, value))
    names = (
        "dataset",
        "subset",
        "compression",
        "split",
        "video_id",
        "frame",
        "face",
        "label",
        "score",
    )
    return {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}


def overlay(label: int = 0, title: str = "", seed: int = 0, num_maps: int = 4) -> Any:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (64, 48, 3), np.uint8)
    attention = np.zeros((6, 6, num_maps), np.float32)
    for k in range(num_maps):
        attention[k, k, k] = 2.0 / (k + 1)
    return Overlay(image, attention, label, 0.25 + 0.5 * label, title)


HISTORY = {
    "step": np.array([10.0, 20.0, 20.0, 30.0]),
    "epoch": np.array([0.5, 1.0, 1.0, 1.5]),
    "split": np.array(["train", "train", "val", "train"]),
    "loss": np.array([0.9, 0.7, 0.8, 0.5]),
    "video_auc": np.array([np.nan, np.nan, 0.9, np.nan]),
}


class Page(HTMLParser):
    """Tags, attributes and text of a page; unbalanced tags are errors."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self, html: Any) -> None:
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = [], [], [], []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: Any, attributes: Any) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: Any, attributes: Any) -> None:
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag: Any) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: Any) -> None:
        if "style" not in self._open:
            self.texts.append(data)

    @property
    def text(self) -> Any:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def page(
    tmp_path: Path, table: Any, *, title: str = "Report", metrics: Any = None, **parts: Any
) -> Any:
    path = tmp_path / "out" / "report.html"
    write_report(path, title=title, metrics=metrics or summarise(table), scores=table, **parts)
    return Page(path.read_text(encoding="utf-8"))


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


# ---------------------------------------------------------------- overlays


def decoded(uri: Any) -> Any:
    prefix = "data:image/jpeg;base64,"
    assert uri.startswith(prefix)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri[len(prefix) :]))), np.float64)


def test_maps_share_one_scale_so_that_a_weak_map_looks_weak() -> None:
    attention = np.zeros((4, 4, 2), np.float32)
    attention[1, 1, 0], attention[1, 1, 1] = 10.0, 1.0
    made = tiles(Overlay(np.full((64, 64, 3), 128, np.uint8), attention, 1, 0.9))
    strong, weak = (decoded(uri).max(axis=(0, 1)).sum() for uri in made.maps)
    assert strong > weak + 100
    assert made.peak == 10.0


def test_heat_lies_where_the_attention_is() -> None:
    attention = np.zeros((8, 8, 1), np.float32)
    attention[6, 1, 0] = 1.0  # row 6, column 1: bottom left
    made = tiles(Overlay(np.zeros((80, 80, 3), np.uint8), attention, 0, 0.1))
    heat = decoded(made.maps[0]).sum(-1)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - 65) <= 6 and abs(column - 15) <= 6


def test_dead_maps_and_large_faces_are_drawn() -> None:
    made = tiles(Overlay(np.full((600, 500, 3), 90, np.uint8), np.zeros((3, 3, 2)), 0, 0.2))
    assert made.peak == 0.0
    assert decoded(made.face).shape[0] == 224
    assert decoded(made.maps[1]).shape == decoded(made.face).shape


@pytest.mark.parametrize(
    ("image", "attention", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), np.ones((2, 2, 1)), "image is float32"),
        (np.zeros((4, 4), np.uint8), np.ones((2, 2, 1)), "wanted uint8"),
        (np.zeros((4, 4, 3), np.uint8), np.ones((2, 2)), r"wanted \[h,w,M\]"),
        (np.zeros((4, 4, 3), np.uint8), np.full((2, 2, 1), np.nan), "non-finite"),
    ],
)
def test_overlays_check_what_they_are_given(image: Any, attention: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        Overlay(image, attention, 0, 0.5)


def test_statistics_by_class() -> None:
    rows = {row["faces"]: row for row in statistics([overlay(0), overlay(1), overlay(1)])}
    assert {name: row["num_faces"] for name, row in rows.items()} == {
        "real": 1,
        "fake": 2,
        "all": 3,
    }
    assert rows["all"]["overlap"] == 0.0 and rows["all"]["entropy"] == 0.0
    assert statistics([]) == []


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


# ---------------------------------------------------------------- comparison


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
