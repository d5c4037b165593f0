"""`matnet COMMAND …`: all commands under one name."""

from typing import NoReturn

from data_pipeline.commands import Commands
from matnet_jax.runtime.commands import start

COMMANDS = Commands(
    "matnet",
    "Detects face forgeries: from videos to records, to a trained network, to its report.",
    {
        "check": ("say what of a data set is there, and what leaks", "data_pipeline.check:COMMAND"),
        "prepare": ("make records of a data set's videos", "data_pipeline.prepare:COMMAND"),
        "train": ("train a detector on records", "matnet_jax.train.command:COMMAND"),
        "eval": ("evaluate it on a split", "matnet_jax.evaluation.command:COMMAND"),
        "ensemble": (
            "score several evaluated networks as one",
            "matnet_jax.evaluation.ensemble.command:COMMAND",
        ),
        "probe": (
            "fit the baseline: a line through frozen features",
            "matnet_jax.evaluation.probe.command:COMMAND",
        ),
        "gate": (
            "calibrate a network, and say whether it is handed out",
            "matnet_jax.evaluation.gate.command:COMMANDS",
        ),
        "predict": ("score images and videos", "matnet_jax.predict.command:COMMAND"),
        "serve": ("score what a page or HTTP sends", "matnet_jax.predict.serve.command:COMMAND"),
        "report": ("put evaluations side by side", "matnet_jax.report.command:COMMANDS"),
        "sweep": (
            "train the grid of a table of the paper",
            "matnet_jax.sweep.command:COMMAND",
        ),
        "convert": ("make a checkpoint of another's", "matnet_jax.pretrained.command:CONVERT"),
        "inspect": ("say what a checkpoint is", "matnet_jax.pretrained.command:INSPECT"),
        "pack": ("make weights to hand out", "matnet_jax.pretrained.pack:COMMAND"),
        "export": ("write a network for use elsewhere", "matnet_jax.pretrained.export:COMMAND"),
        "info": ("print versions, devices and folders", "matnet_jax.predict.info:COMMAND"),
    },
)


def main() -> NoReturn:
    """The console command."""
    start(COMMANDS)
