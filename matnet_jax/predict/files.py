"""Files and folders to predictions on disk."""

import dataclasses
import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from data_pipeline.datasets.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from matnet_jax.predict.overlay import write_overlay
from matnet_jax.predict.predictor import Predictor
from matnet_jax.predict.results import Log, Prediction, write_predictions


class NoInputsError(ValueError):
    """Nothing to score was named."""


def find_inputs(paths: Iterable[str]) -> list[str]:
    """Files, and all images and videos in and below folders, each once, in order.

    Raises:
      NoInputsError: a folder without images and videos, or no paths.
    """
    found: dict[str, None] = {}
    for path in paths:
        if Path(path).is_dir():
            files = [p for p in sorted(Path(path).rglob("*")) if _is_media(p)]
            if not files:
                known = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
                raise NoInputsError(f"{path} holds no images or videos ({known})")
            found.update(dict.fromkeys(map(str, files)))
        else:
            found[str(path)] = None
    if not found:
        raise NoInputsError("no inputs: --inputs takes files and folders")
    return list(found)


def _is_media(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def predict_files(
    predictor: Predictor,
    inputs: Sequence[str],
    out: Path,
    *,
    overlay: bool = False,
    resume: bool = False,
) -> list[Prediction]:
    """Scores files and writes ``predictions.csv`` and ``predictions.json``.

    What is finished is kept in ``predictions.jsonl`` as it comes: an interrupted run leaves all
    three files with what it had done.

    Args:
      predictor: scores.
      inputs: of `find_inputs`.
      out: folder, made when it is not there.
      overlay: also writes annotated copies into ``<out>/overlays``.
      resume: takes what an earlier run with the same network and settings finished.

    Returns:
      The predictions, in the order of the inputs; after an interruption those that were done.

    Raises:
      DetectorError: the detector cannot be set up.
      KeyboardInterrupt: after the files are written.
      ValueError: see `Log`.
    """
    if overlay:
        predictor = dataclasses.replace(predictor, keep_attention=True)
    log = Log(out / "predictions.jsonl", predictor.about, resume=resume)
    left = [path for path in inputs if path not in log.done]
    try:
        with tqdm(total=len(inputs), initial=len(inputs) - len(left), unit="file") as bar:
            for prediction in predictor.predict(left):
                if overlay and prediction.tracks:
                    name = overlay_name(prediction.input)
                    try:
                        write_overlay(prediction, out / "overlays" / name)
                    except (ValueError, OSError) as error:
                        note = f"overlay: {error}"
                        problem = "; ".join(filter(None, (prediction.error, note)))
                        prediction = dataclasses.replace(prediction, error=problem)
                log.add(prediction)
                bar.update()
    finally:
        done = list(_in_order(log, inputs))
        write_predictions(out, done)
    return done


def overlay_name(path: str) -> str:
    """A file name for the overlay of a path: its stem, and a hash that tells equal stems apart."""
    digest = hashlib.sha256(str(Path(path).absolute()).encode("utf-8", "surrogateescape"))
    return f"{Path(path).stem}-{digest.hexdigest()[:8]}"


def _in_order(log: Log, inputs: Sequence[str]) -> Iterator[Prediction]:
    return (log.done[path] for path in inputs if path in log.done)


def print_summary(predictions: Sequence[Prediction], out: Path) -> int:
    """Tells people what came of it.

    Returns:
      The exit status: 0, or 3 where files have no score.
    """
    unscored = [p for p in predictions if p.score is None]
    width = max((len(prediction.label) for prediction in predictions[:20]), default=0)
    for prediction in predictions[:20]:
        score = "    --" if prediction.score is None else f"{prediction.score:.4f}"
        print(f"{score}  {prediction.label:{width}}  {prediction.input}")
    if len(predictions) > 20:
        print(f"… and {len(predictions) - 20} more")
    for prediction in unscored[:20]:
        print(f"no score: {prediction.input}: {prediction.error}", file=sys.stderr)
    uncertain = sum(prediction.abstained for prediction in predictions)
    left = f", {uncertain} of them uncertain" if uncertain else ""
    print(f"{len(predictions) - len(unscored)} of {len(predictions)} files scored{left}; {out}")
    return 3 if unscored else 0
