"""Whether a detector may be handed out as the default: a few questions, each with its figure.

False alarms come first: a detector that accuses real people is worse than none. All is measured on
people who had no part in training, in choices, or in calibration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from matnet_jax.metrics.binary import Metric, auc, decide
from matnet_jax.metrics.bootstrap import bootstrap_intervals
from matnet_jax.metrics.operating_point import OperatingPoint, measure_operating_point
from matnet_jax.metrics.scores import PERSON_COLUMN, Columns
from matnet_jax.metrics.videos import group_videos, video_scores

GROUP, PERSON, TONE = "group", "person", "skin_tone"
ATTRIBUTES = (GROUP, PERSON, TONE)


@dataclasses.dataclass(frozen=True)
class Criteria:
    """What is asked.

    Attributes:
      max_false_alarms: share of the reals of a group that may be called fake.
      min_people: a smaller group is listed, not judged.
      min_found: share of the fakes, but for those of pairs, that have to be called fake.
      min_pair_auc: of a fake's frames against those of its own source.
      num_pairs: that have to be there.
      paired: groups whose fakes are judged one by one, each against its own source.
    """

    max_false_alarms: float = 0.05
    min_people: int = 40
    min_found: float = 0.6
    min_pair_auc: float = 0.85
    num_pairs: int = 3
    paired: tuple[str, ...] = ("ffpp", "dfdc")

    def __post_init__(self) -> None:
        for name in ("max_false_alarms", "min_found", "min_pair_auc"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted a share in [0, 1]")


@dataclasses.dataclass(frozen=True)
class Line:
    """A figure, and whether it is good enough.

    Attributes:
      criterion: what is measured.
      of: of whom or what.
      value: None where it is undefined.
      wanted: in words.
      passed: None where nothing is asked of it.
      people, files: that it rests on.
      interval: 95 %, of a bootstrap over people; None where there is none.
    """

    criterion: str
    of: str
    value: float | None
    wanted: str = ""
    passed: bool | None = None
    people: int = 0
    files: int = 0
    interval: list[float] | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """All lines, and what was judged by.

    Attributes:
      lines: those that are judged and those that are only listed.
      point: the operating point, which was fitted on others.
      criteria: what was asked.
      measured: `measure_operating_point` of all files, with its abstention.
    """

    lines: tuple[Line, ...]
    point: OperatingPoint
    criteria: Criteria
    measured: dict[str, Any]

    @property
    def met(self) -> bool:
        """Whether no line that is judged failed."""
        return all(line.passed is not False for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """JSON values; undefined is None."""
        return {
            "met": self.met,
            "threshold": self.point.threshold,
            "lines": [dataclasses.asdict(line) for line in self.lines],
            "criteria": {**dataclasses.asdict(self.criteria), "paired": [*self.criteria.paired]},
            "operating_point": self.point.as_json(),
            "measured": self.measured,
        }


def judge(
    scores: Mapping[str, Any],
    attributes: Mapping[str, np.ndarray],
    point: OperatingPoint,
    criteria: Criteria | None = None,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Verdict:
    """Judges a detector by its scores of people whom nothing was fitted on.

    Args:
      scores: columns of faces, [N], with `source_id`.
      attributes: those of `ATTRIBUTES`, str [N].
      point: the operating point that is handed out, fitted on other people.
      criteria: what is asked; None: the defaults.
      num_resamples, seed: of the intervals' bootstrap; 0: there are none.

    Returns:
      The verdict. What is missing, be it a group large enough, swaps, or pairs, is a failed line.

    Raises:
      ValueError: an attribute is missing, a real file is of nobody known, or see `video_scores`.
    """
    criteria = criteria or Criteria()
    files = files_of(scores, attributes, aggregation=point.aggregation, top_k=point.top_k)
    draws: dict[str, Any] = {"num_resamples": num_resamples, "seed": seed}
    lines = (
        *_false_alarms(files, point.threshold, criteria, draws),
        *_found(files, point.threshold, criteria, draws),
        *_pairs(files, scores, criteria),
    )
    return Verdict(lines, point, criteria, measure_operating_point(point, files))


def compared_by(
    files: Columns, point: OperatingPoint, *, num_resamples: int = 1000, seed: int = 0
) -> tuple[Line, ...]:
    """What networks are compared by on the people to choose by; nothing is asked of it.

    The swaps that are found at the thresholds, and AUCs of swaps against the photos of their own
    group that are stored alike. Against all photos, what tells one source of photos from another
    would count too. A threshold of few alarms hangs on few photos, of which the intervals, for
    which it stays as it is, say nothing: that of another rate is there to be looked at too.

    Args:
      files: of the people to choose by, see `files_of`.
      point: that was fitted on them.
      num_resamples, seed: see `judge`.
    """
    criteria, draws = Criteria(), {"num_resamples": num_resamples, "seed": seed}
    found = [*_found(files, point.threshold, criteria, draws)]
    for rate, threshold in point.thresholds:
        if rate != point.false_alarm_rate:
            overall = next(_found(files, threshold, criteria, draws))
            found.append(dataclasses.replace(overall, of=f"all, at {rate:.0%} false alarms"))
    listed = (dataclasses.replace(line, wanted="", passed=None) for line in found)
    return (*listed, *_against_their_group(files, criteria, draws))


def _against_their_group(
    files: Columns, criteria: Criteria, draws: Mapping[str, Any]
) -> Iterator[Line]:
    fakes = (files["label"] == 1) & ~np.isin(files[GROUP], criteria.paired)
    for group in np.unique(files[GROUP][fakes]).tolist():
        for stored in np.unique(files["compression"][fakes]).tolist():
            alike = (files[GROUP] == group) & (files["compression"] == stored)
            kinds = np.unique(files["subset"][fakes & alike]).tolist()
            where = f"{group}, {stored or 'as it was'}"
            yield _area(where, files, alike & ((files["label"] == 0) | fakes), draws)
            for kind in kinds:
                rows = alike & ((files["label"] == 0) | (fakes & (files["subset"] == kind)))
                yield _area(f"{where}, {kind}", files, rows, draws)


def files_of(
    scores: Mapping[str, Any],
    attributes: Mapping[str, np.ndarray],
    *,
    aggregation: str = "mean",
    top_k: int = 10,
) -> Columns:
    """Scores of files, each with its attributes.

    Args:
      scores: columns of faces, [N].
      attributes: those of `ATTRIBUTES`, str [N].
      aggregation, top_k: of frames.

    Returns:
      What `video_scores` gives, with the attributes as columns.

    Raises:
      ValueError: an attribute is missing, or not known of a real file.
    """
    if missing := [name for name in ATTRIBUTES if name not in attributes]:
        raise ValueError(
            f"attributes lack {', '.join(missing)}; there are {', '.join(attributes) or 'none'}, "
            f"and the gate needs {', '.join(ATTRIBUTES)}"
        )
    first_row, _ = group_videos(scores)
    files = video_scores(scores, aggregation=aggregation, top_k=top_k)
    files |= {name: np.asarray(attributes[name])[first_row] for name in ATTRIBUTES}
    for name in (GROUP, PERSON):
        if len(unknown := np.flatnonzero(files[name] == "")):
            raise ValueError(
                f"{len(unknown)} files are of no known {name}, such as "
                f"{files['video_id'][unknown[0]]}; every line of the gate counts people"
            )
    return files


def real_groups(files: Columns) -> dict[str, dict[str, np.ndarray]]:
    """The reals of each "group" and of each quartile of "skin tone": value -> bool [V]."""
    reals = files["label"] == 0
    return {
        title: {
            value: reals & (files[name] == value)
            for value in np.unique(files[name][reals]).tolist()
            if value
        }
        for name, title in ((GROUP, "group"), (TONE, "skin tone"))
    }


def num_people(files: Columns, rows: np.ndarray) -> int:
    """How many people some files show."""
    return len(np.unique(files[PERSON][rows]))


def _false_alarms(
    files: Columns, threshold: float, criteria: Criteria, draws: Mapping[str, Any]
) -> Iterator[Line]:
    wanted = f"at most {criteria.max_false_alarms:g}"
    for kind, groups in real_groups(files).items():
        judged = 0
        for name, rows in groups.items():
            value = _share_over(files, rows, threshold)
            large = num_people(files, rows) >= criteria.min_people
            judged += large
            yield _line(
                *("false alarms", f"{kind} {name}", files, rows, threshold, draws),
                wanted=wanted if large else "",
                passed=value is not None and value <= criteria.max_false_alarms if large else None,
            )
        if not judged:
            asked = f"1 of {criteria.min_people} people or more"
            yield Line("groups large enough to judge", kind, 0.0, asked, passed=False)
    reals = files["label"] == 0
    for name in np.unique(files["compression"][reals]).tolist():
        rows = reals & (files["compression"] == name)
        yield _line("false alarms", f"stored as {name or 'it was'}", files, rows, threshold, draws)


def _found(
    files: Columns, threshold: float, criteria: Criteria, draws: Mapping[str, Any]
) -> Iterator[Line]:
    fakes = (files["label"] == 1) & ~np.isin(files[GROUP], criteria.paired)
    value = _share_over(files, fakes, threshold)
    yield _line(
        *("swaps found", "all", files, fakes, threshold, draws),
        wanted=f"at least {criteria.min_found:g}",
        passed=value is not None and value >= criteria.min_found,
    )
    for name in ("subset", "compression", TONE):
        for kind in np.unique(files[name][fakes]).tolist():
            title = f"skin tone {kind or 'unknown'}" if name == TONE else kind
            rows = fakes & (files[name] == kind)
            yield _line("swaps found", title, files, rows, threshold, draws)


def _pairs(files: Columns, scores: Mapping[str, Any], criteria: Criteria) -> Iterator[Line]:
    """Each fake against the real file of the same group that it was made of."""
    frames = {name: np.asarray(column) for name, column in scores.items()}
    _, row_file = group_videos(frames)
    paired = np.isin(files[GROUP], criteria.paired)
    pairs = 0
    for fake in np.flatnonzero(paired & (files["label"] == 1)):
        source = np.flatnonzero(
            (files["label"] == 0)
            & (files[GROUP] == files[GROUP][fake])
            & (files["video_id"] == files[PERSON_COLUMN][fake])
        )
        name = f"{files['subset'][fake]} {files['video_id'][fake]}"
        rows = row_file == fake
        about: dict[str, Any] = {"people": 1, "files": 1}
        if not len(source):
            yield Line("score of a fake without its source", name, files["score"][fake], **about)
            continue
        pairs += 1
        own = rows | np.isin(row_file, source)
        about["files"] += len(source)
        margin = float(files["score"][fake] - files["score"][source].max())
        yield Line("fake above its source by", name, margin, "over 0", margin > 0, **about)
        area = auc(frames["label"][own], frames["score"][own])
        asked = f"at least {criteria.min_pair_auc:g}"
        passed = area is not None and area >= criteria.min_pair_auc
        yield Line("frame AUC against its source", name, area, asked, passed, **about)
    enough = pairs >= criteria.num_pairs
    yield Line("pairs", "all", float(pairs), f"at least {criteria.num_pairs}", passed=enough)


def _line(
    criterion: str,
    of: str,
    files: Columns,
    rows: np.ndarray,
    threshold: float,
    draws: Mapping[str, Any],
    *,
    wanted: str = "",
    passed: bool | None = None,
) -> Line:
    """A line about the share of some files that are called fake."""
    value = _share_over(files, rows, threshold)
    interval = None
    if value is not None:

        def share(_: np.ndarray, scores: np.ndarray) -> float:
            return float(np.mean(decide(scores, threshold)))

        interval = _interval(files, rows, share, draws)
    people, count = num_people(files, rows), int(rows.sum())
    return Line(criterion, of, value, wanted, passed, people, count, interval)


def _area(of: str, files: Columns, rows: np.ndarray, draws: Mapping[str, Any]) -> Line:
    """A line about the AUC of some files."""
    value = auc(files["label"][rows], files["score"][rows])
    interval = None if value is None else _interval(files, rows, auc, draws)
    people, count = num_people(files, rows), int(rows.sum())
    criterion = "AUC against photos of the same group"
    return Line(criterion, of, value, people=people, files=count, interval=interval)


def _interval(
    files: Columns, rows: np.ndarray, metric: Metric, draws: Mapping[str, Any]
) -> list[float] | None:
    if not draws["num_resamples"]:
        return None
    part = {name: column[rows] for name, column in files.items()}
    part[PERSON_COLUMN] = part[PERSON]  # people are drawn, with all their files
    return bootstrap_intervals(part, {"metric": metric}, resample="identity", **draws)["metric"]


def _share_over(files: Columns, rows: np.ndarray, threshold: float) -> float | None:
    return float(np.mean(decide(files["score"][rows], threshold))) if rows.any() else None
