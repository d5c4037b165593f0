"""Reports of evaluations: one self-contained HTML page each.

`render.write_report` for one evaluation, `comparison.write_comparison` for several side by side,
also as `python -m matnet_jax.report compare A B …`. Prediction draws with `overlays` alone.
"""
