r"""The three networks of \WM/, weighed as in their submission."""

from matnet_jax.evaluation.ensemble.definition import Ensemble, Member

ENSEMBLE = Ensemble(
    title="WM",
    members=(
        Member("xception", "wm_xception", 0.2),
        Member("wsdan-xception", "wsdan", 0.7, starts_from="xception"),
        Member("wsdan-efficientnet-b3", "wsdan:efficientnet-b3", 0.1),
    ),
)
