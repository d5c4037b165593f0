"""What an alarm means where fakes are rarer than in a test set."""

from typing import NamedTuple

from matnet_jax.metrics.binomial import at_least, at_most

BASE_RATES = (0.5, 0.1, 0.01, 0.001)


class AlarmPrecision(NamedTuple):
    """Share of alarms that are right: the estimate, and what it may be at worst."""

    base_rate: float
    estimate: float | None
    at_worst: float


def alarm_precision(
    *, found: int, fakes: int, accused: int, reals: int, base_rate: float, confidence: float = 0.95
) -> AlarmPrecision | None:
    """Precision where `base_rate` of all videos are fake, by Bayes' rule.

    Args:
      found: fakes called fake, of `fakes`.
      accused: reals called fake, of `reals`.
      base_rate: share of fakes, in (0, 1).
      confidence: of each exact (Clopper and Pearson 1934) one-sided bound that `at_worst` takes:
        the lowest true and the highest false positive rate. No false alarm among a few reals does
        not make every alarm right.

    Returns:
      None if a class is missing; an estimate of None if nothing was called fake.

    Raises:
      ValueError: the base rate is not in (0, 1).
    """
    if not 0 < base_rate < 1:
        raise ValueError(f"base_rate is {base_rate}, wanted a share in (0, 1)")
    if not fakes or not reals:
        return None

    def precision(true_positive_rate: float, false_positive_rate: float) -> float | None:
        right = base_rate * true_positive_rate
        alarms = right + (1 - base_rate) * false_positive_rate
        return right / alarms if alarms else None

    at_worst = precision(at_least(found, fakes, confidence), at_most(accused, reals, confidence))
    return AlarmPrecision(base_rate, precision(found / fakes, accused / reals), at_worst or 0.0)
