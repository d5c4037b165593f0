"""Metrics of one set of labels (0 real, 1 fake) and scores (P(fake)), frames or videos alike.

A metric that the set does not define, for want of a class or of any example, is None: 0 would
read as a bad detector and NaN is not JSON. scikit-learn computes what it has; it is imported where
it does, since a prediction needs none of that, and would wait for the import.
"""

from collections.abc import Callable

import numpy as np

from matnet_jax.metrics.calibration import expected_calibration_error

Metric = Callable[[np.ndarray, np.ndarray], float | None]
"""(labels [N], scores [N]) -> value, None where undefined."""

PARTIAL_AUC_MAX_FPR = 0.1


def decide(scores: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Labels int32 [N]: 1 where the score is *over* the threshold.

    A score on the threshold stays real, as the arg max of two equal logits does; so does a video
    without a usable face, whose score is 0.5.
    """
    return (np.asarray(scores) > threshold).astype(np.int32)


def accuracy(labels: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> float | None:
    """Share of right decisions at the threshold."""
    return float(np.mean(decide(scores, threshold) == labels)) if len(labels) else None


def balanced_accuracy(
    labels: np.ndarray, scores: np.ndarray, threshold: float = 0.5
) -> float | None:
    """Mean of the accuracies on the reals and on the fakes."""
    if not _has_both(labels):
        return None
    right = decide(scores, threshold) == labels
    return float((right[labels == 0].mean() + right[labels == 1].mean()) / 2)


def auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve: how often a fake outscores a real, ties counting one half."""
    if not _has_both(labels):
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def partial_auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve up to a false positive rate of 0.1 (McClish 1989).

    It is rescaled so that chance is 0.5 and perfection 1.
    """
    if not _has_both(labels):
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores, max_fpr=PARTIAL_AUC_MAX_FPR))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Average precision with fake as the positive class."""
    if not _has_both(labels):
        return None
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores))


def equal_error_rate(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Where false positive and false negative rates meet, linear between the ROC's points."""
    if not _has_both(labels):
        return None
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    # Rises strictly from -1 to 1 along the curve, so it has one zero.
    difference = false_positive - (1 - true_positive)
    return float(np.interp(0.0, difference, false_positive))


def tpr_at_fpr(labels: np.ndarray, scores: np.ndarray, max_fpr: float) -> float | None:
    """Share of fakes found by the best threshold with at most `max_fpr` of the reals accused.

    Not interpolated: a threshold that reaches it exists. With fewer than 1 / max_fpr reals it
    means no false alarm at all.
    """
    if not _has_both(labels):
        return None
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(true_positive[false_positive <= max_fpr].max())


def cross_entropy(labels: np.ndarray, scores: np.ndarray, epsilon: float = 1e-15) -> float | None:
    """Log loss in nats, scores clipped to [epsilon, 1 - epsilon].

    Raises:
      ValueError: epsilon is not in (0, 0.5).
    """
    if not 0 < epsilon < 0.5:
        raise ValueError(f"log_loss_epsilon is {epsilon}, wanted a number in (0, 0.5)")
    if not len(labels):
        return None
    from sklearn.metrics import log_loss

    clipped = np.clip(np.asarray(scores, np.float64), epsilon, 1 - epsilon)
    return float(log_loss(labels, clipped, labels=[0, 1]))


METRICS: dict[str, Metric] = {
    "acc": accuracy,
    "balanced_acc": balanced_accuracy,
    "auc": auc,
    "pauc": partial_auc,
    "eer": equal_error_rate,
    "ap": average_precision,
    "log_loss": cross_entropy,
    "tpr_at_fpr_1": lambda labels, scores: tpr_at_fpr(labels, scores, 0.01),
    "tpr_at_fpr_0.1": lambda labels, scores: tpr_at_fpr(labels, scores, 0.001),
    "ece": expected_calibration_error,
}


def metric_functions(
    *, threshold: float = 0.5, log_loss_epsilon: float = 1e-15
) -> dict[str, Metric]:
    """`METRICS` with the decision threshold and the log loss's clipping filled in."""
    return {
        **METRICS,
        "acc": lambda labels, scores: accuracy(labels, scores, threshold),
        "balanced_acc": lambda labels, scores: balanced_accuracy(labels, scores, threshold),
        "log_loss": lambda labels, scores: cross_entropy(labels, scores, log_loss_epsilon),
    }


def binary_metrics(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    threshold: float = 0.5,
    log_loss_epsilon: float = 1e-15,
) -> dict[str, float | int | None]:
    """All of `METRICS`, and the counts they rest on.

    Args:
      labels: integers [N], 0 real, 1 fake.
      scores: P(fake) [N].
      threshold: scores over it are called fake (`acc`, `balanced_acc`).
      log_loss_epsilon: scores are clipped to [epsilon, 1 - epsilon] for `log_loss` alone.

    Returns:
      name -> value, None where undefined; `n_real` and `n_fake`.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    functions = metric_functions(threshold=threshold, log_loss_epsilon=log_loss_epsilon)
    return {
        **{name: function(labels, scores) for name, function in functions.items()},
        "n_real": int(np.sum(labels == 0)),
        "n_fake": int(np.sum(labels == 1)),
    }


def reason_undefined(n_real: int, n_fake: int, what: str = "examples") -> str | None:
    """Why metrics of so many examples are undefined, in words; None if they are not."""
    if not n_real and not n_fake:
        return f"there are no scored {what}"
    if not n_fake:
        return f"there are no fake {what} among the {n_real} scored"
    if not n_real:
        return f"there are no real {what} among the {n_fake} scored"
    return None


def _has_both(labels: np.ndarray) -> bool:
    return bool(np.any(labels == 0) and np.any(labels == 1))
