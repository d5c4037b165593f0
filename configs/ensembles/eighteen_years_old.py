"""Eighteen Years Old's eleven networks: four of clips and seven of images, weighed as they are."""

from matnet_jax.evaluation.ensemble.definition import Ensemble, Member


def _image(name: str, config: str, weight: float, *, drawn_in: bool = False) -> Member:
    policy = "groups_of_five_drawn_in" if drawn_in else "groups_of_five"
    return Member(name, f"eighteen_years_old:{config}", weight, policy, "images")


def _clip(name: str, weight: float, config: str = "slowfast") -> Member:
    return Member(name, f"eighteen_years_old:{config}", weight, "face_extremes", "clips")


ENSEMBLE = Ensemble(
    title="Eighteen Years Old",
    members=(
        _clip("slowfast", 10),
        _clip("slowfast_plain", 8),
        _clip("slowfast_16x8", 4, "slowfast_16x8"),
        _clip("slowfast_all", 8),
        _image("xception", "xception", 10),
        _image("b3", "b3", 6, drawn_in=True),
        _image("r34", "r34", 4, drawn_in=True),
        _image("b1", "b1", 10),
        _image("b1_long_all", "b1_long", 8),
        _image("b1_all", "b1_all", 8),
        _image("b0", "b0", 7),
    ),
    blend="families",
    shares={"clips": 0.4, "images": 0.6},
)
