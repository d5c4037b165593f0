"""Commands that compute: they join a job, and keep what they compile."""

import dataclasses
import sys
from typing import NoReturn

from absl import flags

from data_pipeline.commands import Command, Commands
from matnet_jax.runtime.large_pages import restart_with_large_pages


def on_devices(command: Command) -> Command:
    """`command` with the flags of a job of several processes, which it joins before it runs."""

    def define(values: flags.FlagValues) -> None:
        command.define(values)
        flags.DEFINE_string(
            "coordinator",
            None,
            "host:port of process 0, where no cluster tells it (docs/pods.md).",
            flag_values=values,
        )
        flags.DEFINE_integer("num_processes", None, "Of the whole job.", flag_values=values)
        flags.DEFINE_integer("process_id", None, "Of this process, from 0.", flag_values=values)

    def run(values: flags.FlagValues, arguments: list[str]) -> int | None:
        from matnet_jax.runtime.compile_cache import use_compile_cache  # JAX: after the flags
        from matnet_jax.runtime.distributed import find_job, join

        use_compile_cache()
        join(find_job(values.coordinator, values.num_processes, values.process_id))
        return command.run(values, arguments)

    return dataclasses.replace(command, define=define, run=run)


def start(command: Command | Commands) -> NoReturn:
    """Runs a command on this process's command line, in large pages, and ends the process."""
    restart_with_large_pages()
    sys.exit(command())
