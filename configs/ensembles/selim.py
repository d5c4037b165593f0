"""Selim Seferbekov's seven networks, which differ by seed and step; the mean of their scores."""

from matnet_jax.evaluation.ensemble.definition import Ensemble, Member

_SEED_AND_EPOCH = ("111_36", "555_19", "777_29", "777_31", "888_37", "888_40", "999_23")

ENSEMBLE = Ensemble(
    title="Selim Seferbekov",
    members=tuple(
        Member(name, "selim_b7", aggregation="confident_vote") for name in _SEED_AND_EPOCH
    ),
)
