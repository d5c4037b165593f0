"""The Medics' eight networks, seven of clips and one of images: the mean of their scores."""

from matnet_jax.evaluation.ensemble.definition import Ensemble, Member

_CLIPS = ("i3d", "resnet3d", "mc3_112", "mc3_224", "r2plus1d", "i3d_cutmix", "r2plus1d_cutmix")

ENSEMBLE = Ensemble(
    title="The Medics",
    members=(
        *(
            Member(
                name,
                f"medics:{name}",
                aggregation="clipped_face_mean",
                starts_from="mc3_112" if name == "mc3_224" else "",
            )
            for name in _CLIPS
        ),
        Member("se_resnext", "medics:se_resnext", aggregation="median"),
    ),
    clip=0.001,
)
