"""Serves a page and an HTTP interface that score images and videos.

    matnet serve [--weights=NAME | --workdir=DIR] [--host=127.0.0.1] [--port=8000] [--token=TOKEN]

The page is at http://HOST:PORT/, the interface's description at /openapi.json. Only this machine
can reach it, unless --host says otherwise. The variable MATNET_TOKEN may hold the token, which a
command line would show to others. Uploads lie in a private folder ($TMPDIR) until they are scored.
Ctrl-C, SIGTERM, or closing the terminal ends it and deletes what there is.
"""

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from data_pipeline.commands import Command, ending_on_sigterm
from matnet_jax.evaluation.command import define_engine
from matnet_jax.runtime.commands import on_devices

if TYPE_CHECKING:
    from matnet_jax.predict.predictor import Predictor
    from matnet_jax.predict.serve.service import Allowed


def _define(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    text("weights", None, "Of the package, or a manifest's FILE.json.", flag_values=values)
    text("workdir", None, "Folder of the training run.", flag_values=values)
    text("checkpoint", "best", "best, latest, or a step.", flag_values=values)
    text("host", "127.0.0.1", "Address to listen at.", flag_values=values)
    text("token", None, "That requests have to bear.", flag_values=values)
    flags.DEFINE_list(
        "hosts",
        None,
        "Names that it answers to; default: any, or on loopback this machine's.",
        flag_values=values,
    )
    text("detector", None, "Face detector; default: of the training's crops.", flag_values=values)
    text("detector_weights", None, "Its ONNX file.", flag_values=values)
    for name, default, low, what in (
        ("port", 8000, 0, "To listen at; 0: any free one."),
        ("max_upload_mb", 200, 1, "Of a request, in MiB."),
        ("queue", 64, 1, "Files on their way at once; more are told to try again."),
        ("num_frames", 32, 1, "Frames a video."),
        ("batch_size", 8, 1, "Faces scored at once."),
        ("max_pixels", 200_000_000, 1, "Of a frame."),
    ):
        flags.DEFINE_integer(name, default, what, lower_bound=low, flag_values=values)
    for name, seconds, what in (
        ("max_seconds", 600.0, "Of decoding a file; 0: any."),
        ("upload_seconds", 600.0, "For sending a request."),
        ("keep_minutes", 30.0, "That results are kept."),
    ):
        flags.DEFINE_float(name, seconds, what, lower_bound=0.0, flag_values=values)
    define_engine(values)
    flags.DEFINE_float(
        "threshold",
        None,
        "Scores over it are fake; default: of the fitted operating point, or 0.5.",
        0.0,
        1.0,
        flag_values=values,
    )


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Serves until it is told to end: 0; 2 without a network."""
    # What is missing is said before the network is loaded.
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401
    import python_multipart  # noqa: F401
    import uvicorn

    from matnet_jax.predict.serve.app import create_app
    from matnet_jax.predict.serve.guard import is_loopback
    from matnet_jax.predict.serve.server import Server
    from matnet_jax.predict.serve.service import Service
    from matnet_jax.pretrained.packaged import NoDefaultError

    try:
        predictor = _predictor(values)
    except NoDefaultError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    allowed = _allowed(values)
    if not is_loopback(values.host) and not allowed.token:
        print(
            f"warning: whoever reaches {values.host} can use this: --token=TOKEN asks for one",
            file=sys.stderr,
        )
    with (
        contextlib.suppress(KeyboardInterrupt),
        # Uvicorn closes on SIGINT and SIGTERM and hands them on: then the service closes too.
        ending_on_sigterm(),
        Service(predictor, allowed) as service,
    ):
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wants it
            # Of a terminal that is closed.
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        config = uvicorn.Config(
            create_app(service),
            host=values.host,
            port=values.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=1024,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=10,
        )
        Server(config, service).run()
    return 0


def _predictor(values: flags.FlagValues) -> "Predictor":
    from pathlib import Path

    from data_pipeline.extract.limits import Limits
    from matnet_jax.predict.command import chosen_network
    from matnet_jax.predict.predictor import Predictor, settings_for

    network = chosen_network(values)
    weights = values.detector_weights
    return Predictor(
        network,
        settings=settings_for(
            network.crops, detector=values.detector, num_frames=values.num_frames
        ),
        detector_weights=Path(weights).expanduser() if weights else None,
        threshold=values.threshold,
        limits=Limits(values.max_pixels, values.max_seconds or None),
    )


def _allowed(values: Any) -> "Allowed":
    from matnet_jax.predict.serve.guard import LOOPBACK, is_loopback
    from matnet_jax.predict.serve.jobs import Kept
    from matnet_jax.predict.serve.service import Allowed

    token = os.environ.get("MATNET_TOKEN", "") if values.token is None else values.token
    if token != token.strip() or not token.isascii():
        raise ValueError("a token is ASCII, without spaces around it")
    hosts = tuple(name.lower() for name in values.hosts or ())
    if not hosts and is_loopback(values.host):
        hosts = (*LOOPBACK, values.host)  # a page elsewhere may make its name lead here
    return Allowed(
        upload_bytes=values.max_upload_mb * 2**20,
        queue=values.queue,
        upload_seconds=values.upload_seconds,
        kept=Kept(60 * values.keep_minutes),
        token=token,
        hosts=hosts,
    )


COMMAND = on_devices(Command(program="matnet serve", about=__doc__ or "", define=_define, run=run))
