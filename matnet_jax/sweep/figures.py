r"""Attention maps of trained networks side by side, as in Figures 1, 4, 5 and 6 of the paper.

    python -m matnet_jax.sweep.figures runs/paper/none-none runs/paper/ril-none runs/paper/mat \
        --out=figures.png [--split=test] [--num_faces=8] [--data_dir=DIR]

The same faces for all networks, a row each; the format is the file's suffix (png, pdf, svg).
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from data_pipeline.commands import Command
from matnet_jax.runtime.commands import on_devices, start


def draw_attention(
    workdirs: Sequence[str | Path],
    out: str | Path,
    *,
    split: str = "test",
    num_faces: int = 8,
    checkpoint: str = "best",
    data_dir: str | None = None,
) -> None:
    """Draws the attention maps of several networks over the same faces.

    All maps of a face and network share one scale, from 0 to their highest value.

    Args:
      workdirs: of training runs; the first one's data give the faces.
      out: file to write; its suffix says the format.
      split: of the data.
      num_faces: half of them real, each of another video.
      checkpoint: ``best``, ``latest`` or a step.
      data_dir: records to take the faces from instead.

    Raises:
      ValueError: a run is of a network without heat maps, or the suffix is unknown.
      CheckpointError, DataError, FileNotFoundError: a run or its data cannot be read.
    """
    import jax

    from matnet_jax.config.data import open_source
    from matnet_jax.evaluation.scorer import Scorer, sample_rows
    from matnet_jax.pretrained.trained import load_trained
    from matnet_jax.report.attention_figure import FORMATS, write_attention_figure
    from matnet_jax.report.overlays import Overlay
    from matnet_jax.runtime.sharding import data_mesh, replicate

    out, folders = Path(out), [Path(workdir).absolute() for workdir in workdirs]
    if out.suffix[1:] not in FORMATS:
        raise ValueError(f"--out={out} has no suffix of {', '.join(FORMATS)}")
    mesh = data_mesh()
    overlays: dict[str, list[Overlay]] = {}
    shown: ConfigDict | None = None
    for folder in folders:
        trained = load_trained(folder, checkpoint)
        model = trained.model
        if shown is None:
            shown = ConfigDict(trained.metadata["config"])
            if data_dir is not None:
                shown.data.update(source="records", dir=data_dir)
        source = open_source(shown, split, model.image_size, model.clip_length)
        rows = sample_rows(source.columns, num_faces)
        scorer = Scorer(model, mesh, batch_size=mesh.size * -(-len(rows) // mesh.size))
        faces = scorer.overlays(replicate(trained.variables, mesh), source, rows)
        if not faces:
            raise ValueError(f"{folder} is {model.description}: it has no heat maps")
        overlays[folder.name] = faces
    if jax.process_index() == 0:
        write_attention_figure(out, overlays)


def _run(values: flags.FlagValues, workdirs: list[str]) -> None:
    draw_attention(
        workdirs,
        values.out,
        split=values.split,
        num_faces=values.num_faces,
        checkpoint=values.checkpoint,
        data_dir=values.data_dir,
    )
    print(f"wrote {values.out}")


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("out", "figures.png", "File: .png, .pdf or .svg.", flag_values=values)
    flags.DEFINE_enum(
        "split", "test", ["train", "val", "test"], "Where faces come from.", flag_values=values
    )
    flags.DEFINE_integer("num_faces", 8, "Half real, half fake.", lower_bound=1, flag_values=values)
    flags.DEFINE_string(
        "checkpoint", "best", "best (by validation), latest, or a step.", flag_values=values
    )
    flags.DEFINE_string("data_dir", None, "Other records than the first run's.", flag_values=values)


COMMAND = on_devices(
    Command(
        program="python -m matnet_jax.sweep.figures",
        about=__doc__,
        define=_define,
        run=_run,
        arguments="WORKDIR …",
    )
)

if __name__ == "__main__":
    start(COMMAND)
