"""NTechLab's three networks: all their scores of a video's faces, sharpened and weighted."""

from matnet_jax.evaluation.ensemble.definition import Ensemble, Member

_NETWORKS = ("large_crop", "erasing", "sequence")

ENSEMBLE = Ensemble(
    title="NTechLab",
    members=tuple(
        Member(name, f"ntechlab:{name}", aggregation="sharpened_mean") for name in _NETWORKS
    ),
    blend="pooled",
    pooled_by="sharpened_mean",
)
