"""All systems of the paper's tables on one protocol: what they find, and what they cost.

Retrained, each by its own recipe, or as their authors released them (`--released=DIR`).
docs/systems.md says of each whose code it follows.
"""

from __future__ import annotations

from configs.sweeps.runs import CELEB_DF, FFPP, MAT, PLAIN, SYSTEMS, XCEPTION, system
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.sweep import Cell, Released, Row, Run, Sweep

# AUC of frames: FaceForensics++ HQ, all methods (Table 2), and where that has none, of networks as
# released on its Deepfakes alone (Table 4); and Celeb-DF of these networks (Table 4).
_PUBLISHED: dict[str, tuple[float | None, str, float | None]] = {
    "meso4": (84.70, " ‡", 54.80),
    "mesoinception4": (83.00, " ‡", 53.60),
    "face_xray": (87.40, "", None),
    "fwa": (80.10, " ‡", 56.90),
    "dsp_fwa": (93.00, " ‡", 64.60),
    "multi_task": (76.30, " ‡", 54.30),
    "capsule_v1": (96.60, " ‡", 57.50),
    "two_stream": (70.10, " ‡", 53.80),
    "xception_ela": (94.80, "", None),
    "f3net": (98.10, "", 65.17),
    "two_branch": (98.70, "", 73.41),
    "plain-xception": (96.30, "", 65.30),
    "plain": (99.18, "", 64.29),
    "mat": (99.29, "", 67.44),
}

_RELEASED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "meso4-df": ("Meso4, Deepfake", "meso4", ("mesonet/Meso4_DF.h5",)),
    "meso4-f2f": ("Meso4, Face2Face", "meso4", ("mesonet/Meso4_F2F.h5",)),
    "mesoinception4-df": (
        "MesoInception4, Deepfake",
        "mesoinception4",
        ("mesonet/MesoInception_DF.h5",),
    ),
    "mesoinception4-f2f": (
        "MesoInception4, Face2Face",
        "mesoinception4",
        ("mesonet/MesoInception_F2F.h5",),
    ),
    "multi_task-full": (
        "Multi-task, full",
        "multi_task",
        ("multitask/full_encoder_46.pt", "multitask/full_decoder_46.pt"),
    ),
    "multi_task-finetuned": (
        "Multi-task, fine-tuned",
        "multi_task",
        ("multitask/finetune_encoder_26.pt", "multitask/finetune_decoder_26.pt"),
    ),
    "capsule_v1-df": (
        "Capsule-Forensics, Deepfakes",
        "capsule_v1",
        ("capsule_v1/deepfakes_capsule_95.pt", "vgg19-dcbb9e9d.pth"),
    ),
}
_FEW_FACES = {"data.synthetic_identities": 6, "data.crop_margin": None}


def _row(title: str, run: str, published: str = "") -> Row:
    own, mark, other = _PUBLISHED.get(published, (None, "", None))
    is_ours = published in ("mat", "plain", "plain-xception")
    return Row(
        title,
        (
            Cell(own, run, FFPP, "frame.auc", other=not is_ours, mark=mark),
            Cell(None, run, FFPP, "video.auc"),
            Cell(other, run, CELEB_DF, "frame.auc", other=not is_ours, mark=" §" * (not is_ours)),
            *(
                Cell(None, run, FFPP, f"costs.{cost}")
                for cost in ("parameters", "gflop", "images_per_second")
            ),
        ),
    )


def _provenance(name: str) -> str:
    # A config without a family of its own is the plain classifier by another's code.
    return FAMILIES[name].provenance if name in FAMILIES else "port"


_OWN = {"plain-xception": "Xception", "plain": "EfficientNet-B4", "mat": "MAT"}

SWEEP = Sweep(
    title="Every system, on one protocol",
    columns=(
        "FF++ frames AUC",
        "FF++ videos AUC",
        "Celeb-DF frames AUC",
        "parameters",
        "GFLOP an image",
        "images/s",
    ),
    runs=(
        *(system(name) for name in SYSTEMS),
        *(
            Released(
                name,
                FFPP,
                config=f"systems/{config}",
                small=_FEW_FACES,
                files=files,
            )
            for name, (_, config, files) in _RELEASED.items()
        ),
        Run("plain-xception", FFPP, {**PLAIN, **XCEPTION}),
        Run("plain", FFPP, PLAIN),
        MAT,
    ),
    rows=(
        *(
            _row(f"{title} ({_provenance(name)}; retrained)", name, name)
            for name, title in SYSTEMS.items()
        ),
        *(
            _row(f"{title} ({_provenance(config)}; as released)", name, config)
            for name, (title, config, _) in _RELEASED.items()
        ),
        *(_row(f"{title} (retrained)", name, name) for name, title in _OWN.items()),
    ),
    note="In brackets: 95 % intervals of a bootstrap, with --config.eval.num_resamples.\n\n"
    "‡ Of networks as released, on the Deepfakes of FaceForensics++ alone: not to be compared with "
    "all of its methods.\n\n"
    "§ Of networks as released, trained on what their authors had: not to be compared with "
    "retrained ones.",
)
