"""Metrics of many weighted samples at once: what the bootstrap draws, without drawing rows.

A draw with replacement is a weight for each example, how often it was drawn. Scores are ranked once
for all draws, and a metric of a block of draws is a few sums over one array.
"""

import functools
from collections.abc import Callable

import numpy as np

from matnet_jax.metrics.binary import decide


class Ranking:
    """Labels and scores, sorted once.

    Args:
      labels: integers [N], 0 real, 1 fake.
      scores: P(fake) [N].
      threshold: scores over it are called fake.
    """

    def __init__(self, labels: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> None:
        self.labels = np.asarray(labels)
        self.right = decide(scores, threshold) == self.labels
        self.order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
        self.is_fake = (self.labels == 1)[self.order]
        ranked = np.asarray(scores, np.float64)[self.order]
        # A cut lies between different scores alone: ties are called alike.
        differs = np.append(ranked[1:] != ranked[:-1], True)
        self.last_of_tie = np.flatnonzero(differs)[: len(ranked)]


class Samples:
    """Draws from ranked examples.

    Args:
      ranking: of N examples.
      weights: [D, N], how often each was drawn.
    """

    def __init__(self, ranking: Ranking, weights: np.ndarray) -> None:
        self.ranking, self.weights = ranking, weights

    @functools.cached_property
    def called_fake(self) -> tuple[np.ndarray, np.ndarray]:
        """Reals and fakes over each cut, from none to all: [D, 1 + cuts] each."""
        ranked = np.take(self.weights, self.ranking.order, axis=1)
        cuts = self.ranking.last_of_tie
        made = []
        for own in (~self.ranking.is_fake, self.ranking.is_fake):
            over = np.zeros((len(ranked), 1 + len(cuts)))
            np.take(np.cumsum(ranked * own, axis=1), cuts, axis=1, out=over[:, 1:])
            made.append(over)
        return made[0], made[1]


def accuracy(samples: Samples) -> np.ndarray:
    """Share of right decisions at the threshold."""
    return samples.weights @ samples.ranking.right / samples.weights.sum(1)


def balanced_accuracy(samples: Samples) -> np.ndarray:
    """Mean of the accuracies on the reals and on the fakes."""
    right, labels = samples.ranking.right, samples.ranking.labels
    shares = [
        samples.weights @ (right & (labels == label)) / (samples.weights @ (labels == label))
        for label in (0, 1)
    ]
    return (shares[0] + shares[1]) / 2


def auc(samples: Samples) -> np.ndarray:
    """Area under the ROC curve, ties counting one half."""
    reals, fakes = samples.called_fake
    area = np.sum(np.diff(reals) * (fakes[:, 1:] + fakes[:, :-1]), axis=1) / 2
    return area / (reals[:, -1] * fakes[:, -1])


def average_precision(samples: Samples) -> np.ndarray:
    """Average precision with fake as the positive class."""
    reals, fakes = samples.called_fake
    called = (reals + fakes)[:, 1:]
    precision = fakes[:, 1:] / np.maximum(called, 1)
    return np.sum(np.diff(fakes) * precision, axis=1) / fakes[:, -1]


def equal_error_rate(samples: Samples) -> np.ndarray:
    """Where false positive and false negative rates meet, linear between the ROC's points."""
    reals, fakes = samples.called_fake
    false_positive = reals / reals[:, -1:]
    difference = false_positive - (1 - fakes / fakes[:, -1:])  # rises from -1 to 1
    after = np.argmax(difference >= 0, axis=1)
    rows = np.arange(len(difference))
    high, low = difference[rows, after], difference[rows, after - 1]
    part = -low / (high - low)
    start, end = false_positive[rows, after - 1], false_positive[rows, after]
    return start + part * (end - start)


WEIGHTED: dict[str, Callable[[Samples], np.ndarray]] = {
    "acc": accuracy,
    "balanced_acc": balanced_accuracy,
    "auc": auc,
    "eer": equal_error_rate,
    "ap": average_precision,
}
"""name of `METRICS` -> function of samples, [D]. But for the accuracy each needs reals and fakes in
every draw."""
