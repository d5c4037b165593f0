"""Files and folders to predictions on disk."""

import dataclasses
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_pipeline.extract.limits import Limits
from data_pipeline.files import locked
from data_pipeline.progress import Progress
from matnet_jax.predict.inputs import shown
from matnet_jax.predict.overlay import write_overlay
from matnet_jax.predict.page import write_page
from matnet_jax.predict.predictor import Predictor
from matnet_jax.predict.results import (
    NO_SEAM,
    Log,
    Prediction,
    append_prediction,
    stamp_of,
    write_predictions,
)

_SHOWN = 20
_STEM = 100  # characters: with its ending a file's name has at most 255 bytes


def predict_files(
    predictor: Predictor,
    inputs: Sequence[str] | Mapping[str, str],
    out: Path,
    *,
    overlay: bool = False,
    resume: bool = False,
) -> list[Prediction]:
    """Scores files and writes ``predictions.csv`` and ``predictions.json``.

    What is finished is kept in ``predictions.jsonl`` and ``predictions.csv`` as it comes; at the
    end, and after an interruption, the table is put in the order of the inputs.

    Args:
      predictor: scores.
      inputs: paths; of `find_inputs` with the reasons why some are left out, which get a row.
      out: folder, made when it is not there.
      overlay: also writes annotated copies into ``<out>/overlays``, and ``predictions.html``, which
        shows them.
      resume: takes what an earlier run with the same network and settings finished without an
        error, unless the file has changed since; with `overlay` files that it left without a copy
        are scored again.

    Returns:
      The predictions, in the order of the inputs; after an interruption those that were done.

    Raises:
      DetectorError: the detector cannot be set up.
      InUseError: another process writes to `out`.
      KeyboardInterrupt: after the files are written.
      ValueError: see `Log`.
    """
    with locked(out):
        return _predict_files(predictor, inputs, out, overlay=overlay, resume=resume)


def _predict_files(
    predictor: Predictor,
    inputs: Sequence[str] | Mapping[str, str],
    out: Path,
    *,
    overlay: bool,
    resume: bool,
) -> list[Prediction]:
    annotated = out / "overlays"
    if overlay:
        predictor = dataclasses.replace(predictor, keep_attention=True)
    reasons = inputs if isinstance(inputs, Mapping) else dict.fromkeys(inputs, "")
    media = [path for path, reason in reasons.items() if not reason]
    stamps = {path: stamp_of(path) for path in media}
    log = Log(out / "predictions.jsonl", predictor.about, resume=resume, stamps=stamps)
    left = [
        path
        for path in media
        if path not in log.done or (overlay and _lacks_copy(log.done[path], annotated))
    ]
    write_predictions(out, _in_order(log, reasons, predictor.operating_point.threshold))
    try:
        with Progress(
            len(media), done=len(media) - len(left), unit="file", about="predict"
        ) as progress:
            for prediction in predictor.predict(left):
                if overlay and prediction.tracks:
                    prediction = _with_overlay(prediction, annotated, predictor.limits)
                log.add(prediction)
                append_prediction(out, prediction)
                progress.update()
    finally:
        done = list(_in_order(log, reasons, predictor.operating_point.threshold))
        write_predictions(out, done)
    if overlay:
        network = ", ".join(f"{key} {value}" for key, value in predictor.network.about.items())
        write_page(out / "predictions.html", done, _pictures(done, annotated), network)
    return done


def overlay_name(path: str) -> str:
    """A file name for the overlay of a path: its stem, and a hash that tells equal stems apart."""
    digest = hashlib.sha256(str(Path(path).absolute()).encode("utf-8", "surrogateescape"))
    stem = Path(path).stem
    if len(stem.encode("utf-8", "surrogateescape")) > _STEM:
        stem = stem[: _STEM // 4]
    return f"{stem}-{digest.hexdigest()[:8]}"


def _pictures(predictions: Sequence[Prediction], annotated: Path) -> dict[str, Path]:
    """By input, a picture of its annotated copy: of a video, that of its scores over time."""
    pictures = {}
    for prediction in predictions:
        for end in (".jpg", ".png"):
            path = annotated / f"{overlay_name(prediction.input)}{end}"
            if path.is_file():
                pictures[prediction.input] = path
    return pictures


def _lacks_copy(prediction: Prediction, annotated: Path) -> bool:
    return bool(prediction.tracks) and not _pictures([prediction], annotated)


def _with_overlay(prediction: Prediction, annotated: Path, limits: Limits) -> Prediction:
    try:
        write_overlay(prediction, annotated / overlay_name(prediction.input), limits=limits)
    except Exception as error:  # the score is there: whatever goes wrong is said beside it
        problem = "; ".join(filter(None, (prediction.error, f"overlay: {error}")))
        return dataclasses.replace(prediction, error=problem)
    return prediction


def _in_order(log: Log, reasons: Mapping[str, str], threshold: float) -> Iterator[Prediction]:
    for path, reason in reasons.items():
        if reason:
            yield Prediction(path, None, threshold, 0, skipped=reason)
        elif path in log.done:
            yield log.done[path]


def print_summary(predictions: Sequence[Prediction], out: Path) -> int:
    """Tells people what came of it.

    Returns:
      The exit status: 0, or 3 where files have no score; what is left out does not count.
    """
    skipped = [p for p in predictions if p.skipped]
    media = [p for p in predictions if not p.skipped]
    unscored = [p for p in media if p.score is None]
    width = max((len(prediction.finding) for prediction in media[:_SHOWN]), default=0)
    for prediction in media[:_SHOWN]:
        score = "    --" if prediction.score is None else f"{prediction.score:.4f}"
        print(f"{score}  {prediction.finding:{width}}  {shown(prediction.input)}")
    if len(media) > _SHOWN:
        print(f"… and {len(media) - _SHOWN} more")
    for limits in dict.fromkeys(p.limits for p in media if p.finding == NO_SEAM):
        print(f"{NO_SEAM}: {limits}")
    for prediction in unscored[:_SHOWN]:
        why = f"{shown(prediction.input)}: {shown(prediction.error)}"
        print(f"no score: {why}", file=sys.stderr)
    for reason, count in Counter(p.skipped for p in skipped).most_common():
        print(f"left out: {count} × {reason}")
    uncertain = sum(prediction.abstained for prediction in media)
    left = f", {uncertain} of them uncertain" if uncertain else ""
    scored = len(media) - len(unscored)
    print(f"{scored} of {len(media)} files scored{left}; {shown(str(out))}")
    return 3 if unscored else 0
