"""Exact one-sided bounds of a rate that was counted (Clopper and Pearson 1934)."""


def at_least(count: int, total: int, confidence: float) -> float:
    """The rate that the true one is over, with this confidence, where `count` of `total` were."""
    return _quantile(count, total - count + 1, 1 - confidence) if count else 0.0


def at_most(count: int, total: int, confidence: float) -> float:
    """The rate that the true one is under, with this confidence, where `count` of `total` were."""
    return 1.0 if count == total else _quantile(count + 1, total - count, confidence)


def _quantile(a: int, b: int, q: float) -> float:
    from scipy.special import betaincinv  # as scikit-learn in `binary`: a prediction counts nothing

    return float(betaincinv(a, b, q))
