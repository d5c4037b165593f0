"""Scores of media files: faces found on the host, batched across files, scored on the device."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.cores import usable_cores
from data_pipeline.detectors import create_detector
from data_pipeline.extract.crops import Settings
from data_pipeline.extract.limits import Limits
from data_pipeline.extract.protocol import CropProtocol
from data_pipeline.training.ops import fit_to_size
from matnet_jax.checkpoints.crops import check_crops
from matnet_jax.metrics.operating_point import OperatingPoint
from matnet_jax.metrics.policies import POLICIES, video_score
from matnet_jax.predict.media import Crop, End, Faces, Media
from matnet_jax.predict.network import (
    Network,
    exported_network,
    packaged_network,
    trained_network,
)
from matnet_jax.predict.results import THUMBNAIL, FaceScore, Prediction, Track
from matnet_jax.predict.windows import Window, Windows

_TOP = 10  # faces that "top_k_mean" takes, unless an operating point says otherwise
_MIN_SHARE = 0.1
"""A track on fewer of the frames than this does not decide over a file that has longer ones."""


def settings_for(crops: CropProtocol | None, **given: Any) -> Settings:
    """How prediction finds and cuts faces.

    Args:
      crops: of the records that a network was trained on; None where that is not known.
      **given: fields of `Settings` that are asked for; one of None is not.
    """
    base = Settings() if crops is None else Settings.from_protocol(crops)
    asked = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(base, **{"faces": "all", **asked})


@dataclasses.dataclass(frozen=True)
class Predictor:
    """Scores images and videos.

    Attributes:
      network: of `packaged_network`, `trained_network` or `exported_network`.
      settings: how faces are found and cropped; None: as the records were that the network was
        trained on, as far as that is known.
      any_crops: takes settings that cut faces otherwise than that.
      detector_weights: the detector's file.
      threshold: over which a file's label is fake; all others are real. None: the network's
        operating point decides, which may leave some uncertain, or 0.5 without one.
      aggregation: of a track's faces, one of `metrics.policies.POLICIES`; None: the operating
        point's, where it decides, else the mean.
      workers: threads that decode and detect; None for one a core.
      keep_attention: whether faces carry their attention maps and a thumbnail.
      limits: of what decoding a file may take.
    """

    network: Network
    settings: Settings | None = None
    detector_weights: Path | None = None
    threshold: float | None = None
    aggregation: str | None = None
    workers: int | None = None
    keep_attention: bool = False
    any_crops: bool = False
    limits: Limits = dataclasses.field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.any_crops:
            check_crops(
                self.network.crops,
                self.used_settings.protocol,
                network="the network",
                faces="those that prediction is told to cut",
                override="--any_crops (any_crops=True)",
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}, wanted a probability in [0, 1]")
        if self.aggregation is not None and self.aggregation not in POLICIES:
            raise ValueError(
                f"unknown aggregation '{self.aggregation}'; available: {', '.join(POLICIES)}"
            )
        point = self.operating_point
        if point.aggregation != self.used_aggregation:
            raise ValueError(
                f"the network's operating point was fitted with the aggregation "
                f"'{point.aggregation}', not '{self.aggregation}': leave the aggregation out, or "
                "give a threshold too"
            )

    @property
    def operating_point(self) -> OperatingPoint:
        """What decides: that of the threshold, of the network, or 0.5."""
        fitted = self.network.operating_point
        if self.threshold is None and fitted is not None:
            return fitted
        threshold = 0.5 if self.threshold is None else self.threshold
        return OperatingPoint(threshold, aggregation=self.aggregation or "mean", top_k=_TOP)

    @property
    def stated_limits(self) -> str:
        """What a threshold that was fitted does not help against; "" where none was, or another."""
        fitted = self.network.operating_point
        return self.network.limits if fitted is not None and self.threshold is None else ""

    @property
    def used_aggregation(self) -> str:
        """The aggregation, or the operating point's."""
        return self.aggregation or self.operating_point.aggregation

    @property
    def used_settings(self) -> Settings:
        """The settings, or those of the records that the network was trained on."""
        return settings_for(self.network.crops) if self.settings is None else self.settings

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path | None = None,
        *,
        batch_size: int = 32,
        engine: str = "auto",
        **fields: Any,
    ) -> "Predictor":
        """The network of weights in the package, or of a manifest; `fields` are this class's.

        Args:
          name: one of `matnet_jax.pretrained.names()`, or a manifest's path; None for the default.
          batch_size: faces scored at once.
          engine: one of `engines.ENGINES`.

        Raises:
          WeightsError: there are no such weights, or they are damaged.
          CheckpointMismatchError: the settings cut faces otherwise than the network wants them.
        """
        return cls(packaged_network(name, batch_size=batch_size, engine=engine), **fields)

    @classmethod
    def from_workdir(
        cls,
        workdir: str | Path,
        *,
        checkpoint: str | int = "best",
        batch_size: int = 32,
        engine: str = "auto",
        **fields: Any,
    ) -> "Predictor":
        """The network of a training or conversion; `fields` are this class's.

        Args:
          workdir: of the training or conversion.
          checkpoint: ``best``, ``latest`` or a step.
          batch_size: faces scored at once.
          engine: one of `engines.ENGINES`.

        Raises:
          CheckpointError, ConfigError: see `load_trained`.
          CheckpointMismatchError: the settings cut faces otherwise than the network wants them.
        """
        network = trained_network(
            workdir, checkpoint=checkpoint, batch_size=batch_size, engine=engine
        )
        return cls(network, **fields)

    @classmethod
    def from_export(cls, folder: str | Path, *, batch_size: int = 32, **fields: Any) -> "Predictor":
        """What `matnet export` wrote, in any format; `fields` are this class's.

        Raises:
          FileNotFoundError, ValueError: see `exported_network`.
        """
        return cls(exported_network(folder, batch_size=batch_size), **fields)

    @property
    def about(self) -> Mapping[str, Any]:
        """Network and settings as JSON values: predictions are comparable where they are equal."""
        point, weights = self.operating_point, self.detector_weights
        return {
            **self.network.about,
            **dataclasses.asdict(self.used_settings),
            "threshold": point.threshold,
            **({"uncertain": list(point.uncertain)} if point.uncertain else {}),
            "aggregation": self.used_aggregation,
            **({"detector_weights": str(weights.absolute())} if weights else {}),
        }

    def __call__(self, media: Media) -> Prediction:
        """Scores a file, or an image as uint8 RGB [H, W, 3].

        A file that cannot be read has an `error` and no score.

        Raises:
          DetectorError: the detector cannot be set up.
        """
        return next(iter(self.predict([media])))

    def predict(self, media: Sequence[Media]) -> Iterator[Prediction]:
        """Scores files as they are finished, in no certain order; batches go across files.

        Of an array the prediction's `input` is "image N", N its place in `media` from 0.

        Memory does not grow with the length of a video: frames are read as they are needed, and
        of each face its score and box are kept. A network of clips gets each person's faces in
        windows of its length.

        Raises:
          DetectorError: the detector cannot be set up.
        """
        size, settings = self.network.batch_size, self.used_settings
        faces = Faces(
            media,
            settings,
            image_size=self.network.image_size,
            make_detector=lambda: create_detector(settings.detector, self.detector_weights),
            workers=self.workers or usable_cores(),
            ahead=2 * size,
            limits=self.limits,
        )
        scored: dict[int, list[tuple[int, FaceScore]]] = {}
        ended: dict[int, End] = {}
        windows = Windows(self.network.clip_length)
        batch: list[Window] = []
        left = len(media)
        for item in faces:
            if isinstance(item, Crop):
                batch += windows.add(item)
            else:
                batch += windows.end(item.file)
                ended[item.file] = item
                left -= 1
            while len(batch) >= size or (batch and not left):
                now, batch = batch[:size], batch[size:]
                for window, own in zip(now, self.score(now), strict=True):
                    of_file = scored.setdefault(window.file, [])
                    of_file += [(window.track, face) for face in own]
            waiting = {window.file for window in batch}
            for file in sorted(set(ended) - waiting):
                array = isinstance(media[file], np.ndarray)
                name = f"image {file}" if array else str(media[file])
                yield self.gather(name, ended.pop(file), scored.pop(file, []))

    def score(self, windows: Sequence[Window]) -> list[list[FaceScore]]:
        """Scores at most a batch of windows, of whatever files they are.

        Returns:
          Of each window the faces that were in none before.
        """
        scores, maps = self.network(np.stack([window.image for window in windows]))
        if not self.keep_attention:
            maps = None
        return [
            [
                self._face(window, i, scores[n], None if maps is None else maps[n])
                for i in range(window.seen, len(window.crops))
            ]
            for n, window in enumerate(windows)
        ]

    @staticmethod
    def _face(window: Window, place: int, score: np.ndarray, maps: np.ndarray | None) -> FaceScore:
        """The face at a place of a window, by the window's score [] or the scores of its faces."""
        crop, shared = window.crops[place], score.ndim == 0
        attention = maps if maps is None or shared else maps[place]
        return FaceScore(
            crop.frame,
            crop.timestamp,
            crop.box,
            float(score if shared else score[place]),
            attention,
            None if attention is None else fit_to_size(crop.image, THUMBNAIL),
            repeats=shared and place > window.seen,
        )

    def gather(self, name: str, end: End, faces: Sequence[tuple[int, FaceScore]]) -> Prediction:
        """What a file comes to, of the faces of its tracks.

        Args:
          name: what the prediction calls the file.
          end: how its decoding ended.
          faces: (track, face), in any order of tracks and each track's in order of time.
        """
        point = self.operating_point
        problem = end.problem or ("" if faces else "no face found")
        if not all(math.isfinite(face.score) for _, face in faces):
            faces, problem = (), "the network gave a score that is no number"
        by_track: dict[int, list[FaceScore]] = {}
        for track, face in faces:
            by_track.setdefault(track, []).append(face)
        tracks = [
            Track(number, self._track_score(own, point.top_k), tuple(own))
            for number, own in by_track.items()
        ]
        tracks.sort(key=lambda track: -track.score)
        long = [track for track in tracks if len(track.faces) >= _MIN_SHARE * end.frames]
        score = max((track.score for track in long or tracks), default=None)
        found = (name, score, point.threshold, end.frames, tuple(tracks), problem)
        return Prediction(*found, uncertain=point.uncertain, limits=self.stated_limits)

    def _track_score(self, faces: Sequence[FaceScore], top_k: int) -> float:
        counted = (face for face in faces if not face.repeats)
        in_order = sorted(counted, key=lambda face: face.frame)
        return video_score(
            self.used_aggregation, np.array([face.score for face in in_order]), top_k=top_k
        )
