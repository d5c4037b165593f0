"""Evaluates a trained detector on a split of a data set, or scores media files with it.

    python run_eval.py --config=FILE --workdir=DIR [--checkpoint=best|latest|STEP] [--split=test]
    python run_eval.py --workdir=DIR --inputs PATH [PATH …] [--overlay] [--resume]

The first writes scores.csv, metrics.json and report.html to --out, by default
<workdir>/eval/<split>; the second predictions.csv and predictions.json, by default to
<workdir>/predictions, and ends with status 3 where a file has no score.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from matnet_jax.runtime.commands import run_command

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, such as configs/demo.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best (by validation), latest, or a step.")
_SPLIT = flags.DEFINE_enum("split", "test", ["train", "val", "test"], "Split to score.")
_OUT = flags.DEFINE_string("out", None, "Folder for the files.")
_INPUTS = flags.DEFINE_string("inputs", None, "Images, videos, folders of them; more may follow.")
_OVERLAY = flags.DEFINE_bool("overlay", False, "Also write annotated copies of the inputs.")
_RESUME = flags.DEFINE_bool("resume", False, "Skip inputs that an earlier run finished.")
_THRESHOLD = flags.DEFINE_float("threshold", 0.5, "Scores over it are fake.", 0.0, 1.0)
_AGGREGATION = flags.DEFINE_string("aggregation", "mean", "Of a person's faces in a file.")
_DETECTOR = flags.DEFINE_string("detector", "mtcnn", "Face detector, as for the records.")
_WEIGHTS = flags.DEFINE_string("detector_weights", None, "Its ONNX file (yunet, retinaface).")
_NUM_FRAMES = flags.DEFINE_integer("num_frames", 32, "Frames a video.", lower_bound=1)
_DETECT_EVERY = flags.DEFINE_integer("detect_every", 1, "Of these frames.", lower_bound=1)
_ALIGNMENT = flags.DEFINE_string("alignment", "similarity", "As for the records.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Faces, for --inputs.", lower_bound=1)
flags.mark_flags_as_required(["workdir"])


def main(argv: list[str]) -> int | None:
    if _INPUTS.value is not None:
        return _predict([_INPUTS.value, *argv[1:]])
    if argv[1:]:
        raise ValueError(f"not a flag: {' '.join(argv[1:])}; files to score come after --inputs")
    if _CONFIG.value is None:
        raise ValueError("--config=FILE is needed, such as configs/demo.py; or --inputs PATH …")
    _evaluate()
    return None


def _evaluate() -> None:
    config = _CONFIG.value
    from matnet_jax.evaluation.run import (
        evaluate,  # after the flags: --help and typos answer at once
    )

    metrics = evaluate(
        config, _WORKDIR.value, checkpoint=_CHECKPOINT.value, split=_SPLIT.value, out=_OUT.value
    )
    import jax

    if jax.process_index():
        return
    for level in ("frame", "video"):
        values = metrics[level]
        counts = f"{values['n_real']} real, {values['n_fake']} fake"
        numbers = (f"{name.upper()} {_number(values[name])}" for name in ("acc", "auc", "eer"))
        print(f"{level}s ({counts}): " + ", ".join(numbers))
    out = _OUT.value or f"{_WORKDIR.value}/eval/{_SPLIT.value}"
    print(f"checkpoint: step {metrics['checkpoint']['step']}\nreport: {out}/report.html")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _predict(paths: list[str]) -> int:
    from data_pipeline.extract.crops import Settings
    from matnet_jax.predict import Predictor
    from matnet_jax.predict.command import find_inputs, predict_files, print_summary

    inputs = find_inputs(paths)
    predictor = Predictor.from_workdir(
        _WORKDIR.value,
        checkpoint=_CHECKPOINT.value,
        batch_size=_BATCH_SIZE.value,
        settings=Settings(
            detector=_DETECTOR.value,
            num_frames=_NUM_FRAMES.value,
            alignment=_ALIGNMENT.value,
            faces="all",
            detect_every=_DETECT_EVERY.value,
        ),
        detector_weights=Path(_WEIGHTS.value).expanduser() if _WEIGHTS.value else None,
        threshold=_THRESHOLD.value,
        aggregation=_AGGREGATION.value,
    )
    out = Path(_OUT.value or f"{_WORKDIR.value}/predictions")
    done = predict_files(predictor, inputs, out, overlay=_OVERLAY.value, resume=_RESUME.value)
    return print_summary(done, out)


if __name__ == "__main__":
    run_command(main, takes_arguments=True)
