"""Whether a score of 0.8 is right 8 times in 10, and what is fitted on validation to make it so.

Threshold and temperature are fitted on the validation split and *applied* to the test split;
fitted on the test split itself they would flatter the detector.
"""

from typing import NamedTuple

import numpy as np

NUM_BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


class CalibrationBins(NamedTuple):
    """The bins that hold any score: size [B], mean score [B], share of fakes [B]."""

    size: np.ndarray
    mean_score: np.ndarray
    fake_share: np.ndarray


def calibration_bins(
    labels: np.ndarray, scores: np.ndarray, *, num_bins: int = NUM_BINS
) -> CalibrationBins:
    """Sorts scores [N] into equal bins of [0, 1]; empty bins are left out."""
    scores = np.asarray(scores, np.float64)
    bins = np.minimum((scores * num_bins).astype(int), num_bins - 1)
    size = np.bincount(bins, minlength=num_bins)
    used = size > 0
    mean_score = np.bincount(bins, scores, num_bins)[used] / size[used]
    fake_share = np.bincount(bins, np.asarray(labels, np.float64), num_bins)[used] / size[used]
    return CalibrationBins(size[used], mean_score, fake_share)


def expected_calibration_error(
    labels: np.ndarray, scores: np.ndarray, num_bins: int = NUM_BINS
) -> float | None:
    """Mean distance between score and share of fakes over the bins, weighted by their counts."""
    if not len(labels):
        return None
    bins = calibration_bins(labels, scores, num_bins=num_bins)
    return float(np.average(np.abs(bins.mean_score - bins.fake_share), weights=bins.size))


def fit_threshold(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """The threshold of the highest balanced accuracy, for `decide` (fake is *over* it).

    It lies half-way between the two scores that it parts; of several equally good ones it is the
    nearest to 0.5. Scores that part nothing give 0.5.

    Args:
      labels, scores: of the validation split, [N].

    Returns:
      The threshold in [0, 1], or None if a class is missing.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if not (np.any(labels == 0) and np.any(labels == 1)):
        return None
    from sklearn.metrics import roc_curve  # as in `binary`: a prediction fits nothing

    false_positive, true_positive, cuts = roc_curve(labels, scores, drop_intermediate=False)
    gain = true_positive - false_positive
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    if gain.max() <= 1e-12:
        return 0.5
    # roc_curve calls fake what is at or over its cut. Gain is 0 at both ends of the curve, so each
    # best cut has a neighbour below.
    upper, lower = cuts[best], cuts[best + 1]
    middle = (upper + lower) / 2
    middle = np.where(middle < upper, middle, lower)  # neighbouring floats have no middle
    return float(middle[np.argmin(np.abs(middle - 0.5))])


def apply_temperature(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Divides the scores' log odds by the temperature; [N] float64. Ranks and 0.5 stay."""
    return 1 / (1 + np.exp(-_log_odds(scores) / temperature))


def fit_temperature(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """The temperature that minimises log loss (Guo et al. 2017), in [0.05, 20].

    Args:
      labels, scores: of the validation split, [N].

    Returns:
      The temperature, or None if a class is missing: then it would run off to a bound.
    """
    labels = np.asarray(labels)
    if not (np.any(labels == 0) and np.any(labels == 1)):
        return None
    from scipy.optimize import minimize_scalar

    # log(1 + exp(-margin)) is the log loss of one example.
    margin = np.where(labels == 1, 1.0, -1.0) * _log_odds(scores)
    result = minimize_scalar(
        lambda log_temperature: np.logaddexp(0, -margin / np.exp(log_temperature)).mean(),
        bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)),
        method="bounded",
    )
    return float(np.exp(result.x))


def _log_odds(scores: np.ndarray, epsilon: float = 1e-12) -> np.ndarray:
    clipped = np.clip(np.asarray(scores, np.float64), epsilon, 1 - epsilon)
    return np.log(clipped) - np.log1p(-clipped)
