"""What Prometheus is told of a service."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from matnet_jax.predict.results import Prediction
from matnet_jax.predict.serve.jobs import Jobs

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FACES = (1, 2, 4, 8, 16, 32, 64, 128)


class Meters:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "matnet_requests",
            "Answers, by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._received = Counter(
            "matnet_upload_bytes", "Bytes of uploads that were received.", registry=self.registry
        )
        self._files = Counter(
            "matnet_files",
            "Files that are done, by outcome: real, fake, uncertain, none (no score).",
            ("outcome",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "matnet_file_seconds",
            "From an accepted upload to its score.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "matnet_batch_faces",
            "Faces that the device scored at once.",
            buckets=_FACES,
            registry=self.registry,
        )

    def watch(self, jobs: Jobs) -> None:
        """Also tells of a service's places and jobs, as they are when they are asked for."""
        for name, text, value in (
            ("matnet_places", "Files that may be on their way at once.", lambda: jobs.places.count),
            ("matnet_places_taken", "Files on their way.", lambda: jobs.places.taken),
            ("matnet_jobs", "Jobs on their way or kept.", lambda: len(jobs)),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)

    def answered(self, route: str, method: str, status: int) -> None:
        """A request was."""
        self._requests.labels(route, method, str(status)).inc()

    def received(self, size: int) -> None:
        """Bytes of an upload were."""
        self._received.inc(size)

    def scored(self, faces: int) -> None:
        """A batch was."""
        self._batches.observe(faces)

    def finished(self, prediction: Prediction, seconds: float) -> None:
        """A file was."""
        self._files.labels(prediction.label or "none").inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' format."""
        return generate_latest(self.registry)
