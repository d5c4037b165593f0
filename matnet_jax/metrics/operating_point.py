"""Where a detector says "fake", and where it says "uncertain": fitted on validation, then kept.

The threshold keeps a stated rate of false alarms on the reals of validation; the band around it is
where decisions are wrong more often than a stated risk. Both are of *videos*, as prediction decides
on them, and hold for videos like those of validation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matnet_jax.metrics.binary import decide
from matnet_jax.metrics.binomial import at_most
from matnet_jax.metrics.calibration import fit_temperature, fit_threshold

REAL, FAKE, UNCERTAIN = 0, 1, -1
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """What decides, and what it rests on.

    Attributes:
      threshold: scores over it are called fake.
      uncertain: low and high: scores in [low, high] are called neither. At low 0 nothing is called
        real, at high 1 nothing fake. None: every score is decided.
      false_alarm_rate: that was asked for, a share of the reals; None: the threshold is that of the
        best balanced accuracy.
      max_risk: share of wrong decisions that was asked for; None: there is no band.
      temperature: that log odds may be divided by to calibrate scores; None where a class was
        missing. Thresholds are of scores as they are.
      aggregation: of frames to a video, with which it was fitted.
      top_k: of that.
      fitted_on: in words.
      num_real: videos that it was fitted on.
      num_fake: videos that it was fitted on.
      false_alarms: reals of these over the threshold.
      thresholds: false-alarm rate and threshold of others that were fitted on the same videos, for
        those who want to be accused less often or to find more.
    """

    threshold: float
    uncertain: tuple[float, float] | None = None
    false_alarm_rate: float | None = None
    max_risk: float | None = None
    temperature: float | None = None
    aggregation: str = "mean"
    top_k: int = 10
    fitted_on: str = ""
    num_real: int = 0
    num_fake: int = 0
    false_alarms: int = 0
    thresholds: tuple[tuple[float, float], ...] = ()

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Scores [N] -> `REAL`, `FAKE` or `UNCERTAIN`, int32 [N]."""
        scores = np.asarray(scores, np.float64)
        called = decide(scores, self.threshold)
        if self.uncertain is not None:
            low, high = self.uncertain
            called[(scores >= low) & (scores <= high)] = UNCERTAIN
        return called

    @property
    def note(self) -> str | None:
        """What there were too few reals for, in words; None if there were enough."""
        if self.false_alarm_rate is None or self.num_real >= reals_needed(self.false_alarm_rate):
            return None
        return (
            f"a false-alarm rate of {self.false_alarm_rate:g} needs at least "
            f"{reals_needed(self.false_alarm_rate)} real videos in validation, and there are "
            f"{self.num_real}: the threshold lies at the highest of their scores, which may be "
            "exceeded more often than asked for"
        )

    def as_json(self) -> dict[str, Any]:
        """JSON values: the fields, what they leave open, and how often false alarms may be."""
        values = dataclasses.asdict(self)
        return values | {
            "uncertain": None if self.uncertain is None else list(self.uncertain),
            "thresholds": [list(pair) for pair in self.thresholds],
            "false_alarm_rate_at_most": rate_at_most(self.false_alarms, self.num_real),
            "note": self.note,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> OperatingPoint:
        """What `as_json` gave.

        Raises:
          ValueError: it did not give this.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        try:
            known = {"thresholds": (), **values}  # older points have none
            fields = {name: known[name] for name in names}
            fields["thresholds"] = tuple((float(r), float(t)) for r, t in fields["thresholds"])
            band = fields["uncertain"]
            fields["uncertain"] = None if band is None else (float(band[0]), float(band[1]))
            return cls(**fields | {"threshold": float(fields["threshold"])})
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"no operating point: {error!r}; wanted {', '.join(names)}, got {dict(values)}"
            ) from error


def reals_needed(rate: float) -> int:
    """Reals that a false-alarm rate can be measured on at all: one of them is that share."""
    return math.ceil(1 / rate - 1e-9)


def rate_at_most(count: int, total: int) -> float | None:
    """The exact one-sided 95 % bound of a rate (Clopper and Pearson 1934); None of nothing."""
    if not total:
        return None
    return at_most(count, total, CONFIDENCE)


def threshold_at_false_alarm_rate(reals: np.ndarray, rate: float) -> float | None:
    """The lowest threshold that at most a share `rate` of the reals' scores [N] is over.

    It is one of the scores: with fewer than 1/rate reals, the highest. None without reals.

    Raises:
      ValueError: the rate is not in (0, 1).
    """
    _check_share("false_alarm_rate", rate)
    reals = np.sort(np.asarray(reals, np.float64))[::-1]
    if not len(reals):
        return None
    return float(reals[math.floor(rate * len(reals) + 1e-9)])


def fit_uncertain(
    labels: np.ndarray, scores: np.ndarray, threshold: float, max_risk: float
) -> tuple[float, float] | None:
    """The narrowest band around a threshold outside which each call is wrong rarely enough.

    The share of reals among scores over it, and of fakes among those under it, are at most
    `max_risk` each, both classes weighing alike, however many there are of each. An edge lies
    half-way between two scores, or at the threshold. A side on which no call is safe is uncertain
    as a whole, and so are scores at the threshold, which are called real, where the band is that
    point alone.

    Returns:
      low and high, or None if both calls are safe at the threshold.

    Raises:
      ValueError: the risk is not in (0, 1).
    """
    _check_share("max_risk", max_risk)
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    values = np.unique(np.append(scores, threshold))
    edges = np.append((values[1:] + values[:-1]) / 2, threshold)
    over, under = edges[edges >= threshold], edges[edges <= threshold]
    reals, fakes = scores[labels == 0], scores[labels == 1]
    safe_high = [edge for edge in over if _share(reals > edge, fakes > edge) <= max_risk]
    safe_low = [edge for edge in under if _share(fakes < edge, reals < edge) <= max_risk]
    low, high = max(safe_low, default=0.0), min(safe_high, default=1.0)
    if low == high and _share(fakes <= threshold, reals <= threshold) <= max_risk:
        return None
    return float(low), float(high)


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}, wanted a share in (0, 1)")


def _share(wrong: np.ndarray, right: np.ndarray) -> float:
    """Of calls, those that are wrong; each array is of one class, and says who is called so."""
    rates = [float(np.mean(called)) if len(called) else 0.0 for called in (wrong, right)]
    return rates[0] / sum(rates) if sum(rates) else math.inf  # nothing is known of such scores


def fit_operating_point(
    videos: Mapping[str, Any],
    *,
    false_alarm_rate: float | None = None,
    max_risk: float | None = None,
    groups: Sequence[np.ndarray] = (),
    other_rates: Sequence[float] = (),
    **about: Any,
) -> OperatingPoint | None:
    """Fits an operating point on the videos of validation.

    Args:
      videos: `label` and `score`, [V].
      false_alarm_rate: for the threshold; None: it is that of the best balanced accuracy.
      max_risk: for the band; None: there is none.
      groups: bool [V] each, groups of videos; no group's reals are over a threshold more often
        than its false-alarm rate says, so that it is the highest of the groups' and of that of all.
      other_rates: false-alarm rates of further thresholds.
      **about: `aggregation`, `top_k`, `fitted_on`.

    Returns:
      The point, or None where validation lacks the class that it needs: the reals, and the fakes
      too unless only a false-alarm rate is asked for.
    """
    labels, scores = np.asarray(videos["label"]), np.asarray(videos["score"], np.float64)
    reals = scores[labels == 0]
    num_fake = int(np.sum(labels == 1))

    def over_all(rate: float) -> float | None:
        parts = [reals, *(scores[(labels == 0) & group] for group in groups)]
        found = [threshold_at_false_alarm_rate(part, rate) for part in parts]
        return max((value for value in found if value is not None), default=None)

    if false_alarm_rate is None:
        threshold = fit_threshold(labels, scores)
    else:
        threshold = over_all(false_alarm_rate)
    if threshold is None or (max_risk is not None and not num_fake):
        return None
    return OperatingPoint(
        threshold=threshold,
        uncertain=None if max_risk is None else fit_uncertain(labels, scores, threshold, max_risk),
        false_alarm_rate=false_alarm_rate,
        max_risk=max_risk,
        temperature=fit_temperature(labels, scores),
        num_real=len(reals),
        num_fake=num_fake,
        false_alarms=int(np.sum(decide(reals, threshold))),
        thresholds=tuple(
            (rate, value) for rate in other_rates if (value := over_all(rate)) is not None
        ),
        **about,
    )


def measure_operating_point(point: OperatingPoint, videos: Mapping[str, Any]) -> dict[str, Any]:
    """How an operating point does on other videos.

    Args:
      point: fitted elsewhere.
      videos: `label` and `score`, [V].

    Returns:
      `videos`, `decided`; `coverage`, the share decided; `risk`, the share wrong among these, and
      `risk_without_abstention` among all at the threshold; `false_alarms`, reals called fake,
      `false_alarm_rate` of all reals, `tpr` of all fakes; `uncertain_real` and `uncertain_fake`.
      What is undefined is None.
    """
    labels = np.asarray(videos["label"])
    called = point.decide(videos["score"])
    decided = called != UNCERTAIN
    plain = decide(videos["score"], point.threshold)
    reals, fakes = labels == 0, labels == 1

    def share(of: np.ndarray) -> float | None:
        return float(np.mean(of)) if len(of) else None

    return {
        "videos": len(labels),
        "decided": int(np.sum(decided)),
        "coverage": share(decided),
        "risk": share((called != labels)[decided]),
        "risk_without_abstention": share(plain != labels),
        "false_alarms": int(np.sum(called[reals] == FAKE)),
        "false_alarm_rate": share(called[reals] == FAKE),
        "tpr": share(called[fakes] == FAKE),
        "uncertain_real": int(np.sum(~decided & reals)),
        "uncertain_fake": int(np.sum(~decided & fakes)),
    }
