"""All systems of the paper's tables on one protocol: what they find, and what they cost.

Retrained, each by its own recipe, or as their authors released them (`--released=DIR`).
docs/systems.md says of each whose code it follows.
"""

from __future__ import annotations

from configs.sweeps import table2, table4
from configs.sweeps.runs import CELEB_DF, FFPP, MAT, PLAIN, SYSTEMS, XCEPTION, system
from configs.sweeps.small import DATA
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.sweep import Cell, Released, Row, Run, Sweep

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
_OWN = {"plain-xception": "Xception", "plain": "EfficientNet-B4", "mat": "MAT"}


def _published(run: str, data: str) -> tuple[float | None, str]:
    """The AUC of frames that the paper prints, and the mark of what it is not to be compared with.

    Of FaceForensics++ HQ, all methods, by Table 2; where that has none, and of Celeb-DF, by Table
    4, of networks as released and on Deepfakes alone.
    """
    released = " ‡" if data == FFPP else " §"
    for table, mark in ((table2.SWEEP, ""), (table4.SWEEP, "" if run in _OWN else released)):
        for cell in table.cells:
            if (cell.run, cell.data, cell.metric) == (run, data, "frame.auc") and cell.published:
                return cell.published, mark
    return None, ""


def _auc(run: str, data: str, system: str) -> Cell:
    figure, mark = _published(system, data)
    return Cell(figure, run, data, "frame.auc", other=system not in _OWN, mark=mark)


def _row(title: str, run: str, system: str) -> Row:
    return Row(
        title,
        (
            _auc(run, FFPP, system),
            Cell(None, run, FFPP, "video.auc"),
            _auc(run, CELEB_DF, system),
            *(
                Cell(None, run, FFPP, f"costs.{cost}")
                for cost in ("parameters", "gflop", "images_per_second")
            ),
        ),
    )


def _provenance(name: str) -> str:
    # A config without a family of its own is the plain classifier by another's code.
    return FAMILIES[name].provenance if name in FAMILIES else "port"


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
                small=DATA,
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
    "Of Two Branch, Eighteen Years Old and The Medics a frame, and an image, is a clip "
    "(config.model.clip_length frames).\n\n"
    "‡ Of networks as released, on the Deepfakes of FaceForensics++ alone: not to be compared with "
    "all of its methods.\n\n"
    "§ Of networks as released, trained on what their authors had: not to be compared with "
    "retrained ones.",
)
