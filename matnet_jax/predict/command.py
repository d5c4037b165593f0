"""Scores images and videos with a trained detector.

    matnet predict PATH [PATH …] [--weights=NAME | --workdir=DIR] [--overlay] [--resume] [--out=DIR]

Without --weights and --workdir by the package's default weights; where none passed the ship gate,
it ends with status 2 and says which there are. Writes predictions.csv and predictions.json to the
folder --out. Ends with status 3 where a file has no score.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from data_pipeline.commands import Command
from matnet_jax.evaluation.command import define_engine
from matnet_jax.runtime.commands import on_devices

if TYPE_CHECKING:
    from matnet_jax.predict.network import Network


def define_flags(values: flags.FlagValues) -> None:
    """The flags of prediction alone; those that evaluation has too are in `_define`."""
    flags.DEFINE_string(
        "inputs", None, "Images, videos, folders of them; more may follow.", flag_values=values
    )
    flags.DEFINE_string(
        "weights", None, "Of the package, or a manifest's FILE.json.", flag_values=values
    )
    flags.DEFINE_bool(
        "overlay", False, "Also write annotated copies, and a page of them.", flag_values=values
    )
    flags.DEFINE_bool(
        "resume", False, "Skip inputs that an earlier run scored.", flag_values=values
    )
    flags.DEFINE_bool(
        "only_media", False, "Say nothing of other files in folders.", flag_values=values
    )
    flags.DEFINE_integer(
        "max_pixels", 200_000_000, "Of a frame.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_float(
        "max_seconds", 600.0, "Of decoding a file; 0: any.", lower_bound=0.0, flag_values=values
    )
    flags.DEFINE_float(
        "threshold",
        None,
        "Scores over it are fake, all others real; default: of the fitted operating point, or 0.5.",
        0.0,
        1.0,
        flag_values=values,
    )
    flags.DEFINE_string(
        "aggregation",
        None,
        "Of a person's faces in a file; default: of the operating point, or mean.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "detector", None, "Face detector; default: of the training's crops.", flag_values=values
    )
    flags.DEFINE_string(
        "detector_weights", None, "Its ONNX file: retinaface's, or a yunet's.", flag_values=values
    )
    flags.DEFINE_integer("num_frames", 32, "Frames a video.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("detect_every", 1, "Of these frames.", lower_bound=1, flag_values=values)
    flags.DEFINE_string(
        "alignment",
        None,
        "similarity or box; default: of the training's crops.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "any_crops", False, "Cut faces otherwise than in training.", flag_values=values
    )
    flags.DEFINE_integer(
        "batch_size", 32, "Faces scored at once.", lower_bound=1, flag_values=values
    )


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Scores files, and prints what came of it: 3 where one has no score, 2 without a network."""
    from data_pipeline.extract.limits import Limits
    from matnet_jax.predict import Predictor
    from matnet_jax.predict.files import predict_files, print_summary
    from matnet_jax.predict.inputs import find_inputs
    from matnet_jax.predict.predictor import settings_for
    from matnet_jax.pretrained.packaged import NoDefaultError

    named = [values.inputs] if values.inputs is not None else []
    inputs = find_inputs([*named, *arguments], only_media=values.only_media)
    weights = values.detector_weights
    try:
        network = chosen_network(values)
    except NoDefaultError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    predictor = Predictor(
        network,
        settings=settings_for(
            network.crops,
            detector=values.detector,
            alignment=values.alignment,
            num_frames=values.num_frames,
            detect_every=values.detect_every,
        ),
        any_crops=values.any_crops,
        detector_weights=Path(weights).expanduser() if weights else None,
        threshold=values.threshold,
        aggregation=values.aggregation,
        limits=Limits(values.max_pixels, values.max_seconds or None),
    )
    out = Path(values.out or Path(values.workdir or "") / "predictions")
    done = predict_files(predictor, inputs, out, overlay=values.overlay, resume=values.resume)
    return print_summary(done, out)


def chosen_network(values: flags.FlagValues) -> "Network":
    """The network of --workdir, --weights, or the default; says what runs it."""
    network = _loaded(values)
    print(f"engine: {network.engine}", file=sys.stderr)
    return network


def _loaded(values: flags.FlagValues) -> "Network":
    from matnet_jax.predict.network import packaged_network, trained_network

    if values.workdir is None:
        return packaged_network(values.weights, batch_size=values.batch_size, engine=values.engine)
    if values.weights is not None:
        raise ValueError(
            f"--weights={values.weights} and --workdir={values.workdir} are two networks: give one"
        )
    return trained_network(
        values.workdir,
        checkpoint=values.checkpoint,
        batch_size=values.batch_size,
        engine=values.engine,
    )


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("workdir", None, "Folder of the training run.", flag_values=values)
    flags.DEFINE_string(
        "checkpoint", "best", "best (by validation), latest, or a step.", flag_values=values
    )
    flags.DEFINE_string(
        "out",
        None,
        "Folder for the files; default: WORKDIR/predictions.",
        flag_values=values,
    )
    define_engine(values)
    define_flags(values)


COMMAND = on_devices(
    Command(program="matnet predict", about=__doc__, define=_define, run=run, arguments="…")
)
