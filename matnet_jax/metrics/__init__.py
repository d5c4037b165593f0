"""What a detector's scores are worth: frame and video metrics, with what they rest on."""

from matnet_jax.metrics.attention import map_statistics
from matnet_jax.metrics.base_rates import BASE_RATES, AlarmPrecision, alarm_precision
from matnet_jax.metrics.binary import METRICS, binary_metrics, decide, reason_undefined
from matnet_jax.metrics.bootstrap import (
    RESAMPLES,
    PairedDifference,
    bootstrap_intervals,
    paired_bootstrap,
)
from matnet_jax.metrics.calibration import (
    apply_temperature,
    calibration_bins,
    expected_calibration_error,
    fit_temperature,
    fit_threshold,
)
from matnet_jax.metrics.cross import cross_auc
from matnet_jax.metrics.groups import group_table
from matnet_jax.metrics.operating_point import (
    OperatingPoint,
    fit_operating_point,
    measure_operating_point,
)
from matnet_jax.metrics.policies import POLICIES, video_score
from matnet_jax.metrics.risk_coverage import RiskCoverage, risk_coverage
from matnet_jax.metrics.summary import summarise
from matnet_jax.metrics.videos import group_videos, most_wrong_videos, video_scores

__all__ = [
    "BASE_RATES",
    "METRICS",
    "POLICIES",
    "RESAMPLES",
    "AlarmPrecision",
    "OperatingPoint",
    "PairedDifference",
    "RiskCoverage",
    "alarm_precision",
    "apply_temperature",
    "binary_metrics",
    "bootstrap_intervals",
    "calibration_bins",
    "cross_auc",
    "decide",
    "expected_calibration_error",
    "fit_operating_point",
    "fit_temperature",
    "fit_threshold",
    "group_table",
    "group_videos",
    "map_statistics",
    "measure_operating_point",
    "most_wrong_videos",
    "paired_bootstrap",
    "reason_undefined",
    "risk_coverage",
    "summarise",
    "video_score",
    "video_scores",
]
