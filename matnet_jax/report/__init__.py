"""Reports of evaluations: one self-contained HTML page each.

`write_report` for one evaluation, `write_comparison` for several side by side, also as
`python -m matnet_jax.report compare A B …`.
"""

from matnet_jax.report.comparison import compare, load_evaluations, write_comparison
from matnet_jax.report.overlays import Overlay
from matnet_jax.report.render import write_report

__all__ = [
    "Overlay",
    "compare",
    "load_evaluations",
    "write_comparison",
    "write_report",
]
