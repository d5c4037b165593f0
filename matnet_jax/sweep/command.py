r"""Trains and evaluates the grid of one of the paper's tables, and prints the table.

    python -m matnet_jax.sweep --sweep=table6 --workdir=runs/paper --records=/data/records
    python -m matnet_jax.sweep --sweep=table6 --workdir=runs/toy --embedded \
        --config=configs/demo.py --config.train.duration="100 steps"
    python -m matnet_jax.sweep --sweep=systems --workdir=runs/systems --embedded
    python -m matnet_jax.sweep --sweep=weights --workdir=runs/weights --portraits=DIR \
        --config=configs/weights_lite0.py

The same command continues; --only does a part of it, so that several machines share the grid.
Writes <workdir>/<sweep>.md and .csv (figures: .png too). Ends with status 1 where a run failed.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from data_pipeline.benchmark.source_flags import (
    define_source_flags,
    given_photos,
    given_portraits,
    given_videos,
    given_weights,
)
from data_pipeline.commands import Command
from matnet_jax.runtime.commands import on_devices
from matnet_jax.runtime.config_files import SHIPPED, define_config, find_shipped
from matnet_jax.sweep.definition import Sweep


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "sweep",
        None,
        "table1 … table6, systems, figures, or a file that has SWEEP.",
        flag_values=values,
    )
    define_config(values, "What the runs change: a config file, or the name of one.")
    values.set_default("config", "ffpp")
    flags.DEFINE_string(
        "workdir", None, "Folder of all runs; sweeps may share it.", flag_values=values
    )
    flags.DEFINE_string(
        "records", None, "Folder with ffpp-c23, celeb-df, …: docs/sweeps.md.", flag_values=values
    )
    flags.DEFINE_bool(
        "embedded", False, "Drawn faces in place of all data sets.", flag_values=values
    )
    flags.DEFINE_string(
        "released",
        None,
        "Folder with the files of networks as their authors released them: docs/systems.md.",
        flag_values=values,
    )
    define_source_flags(values)
    flags.DEFINE_list("only", None, "Names of the runs to do now.", flag_values=values)
    flags.DEFINE_bool(
        "list", False, "Only print the table as it stands, and the runs.", flag_values=values
    )
    flags.mark_flags_as_required(["sweep", "workdir"], values)


def _run(values: flags.FlagValues, _: list[str]) -> int:
    import jax

    from data_pipeline.files import atomic_file
    from matnet_jax.runtime.preemption import STATUS, Preempted
    from matnet_jax.sweep.data import DataSets, Embedded, Records
    from matnet_jax.sweep.networks import NOTE
    from matnet_jax.sweep.runner import read_sweep, run_sweep
    from matnet_jax.sweep.table import as_csv, as_markdown

    name, sweep = load_sweep(values.sweep)
    workdir = Path(values.workdir)
    given = (values.records is not None, values.portraits is not None, bool(values.embedded))
    if sum(given) != 1:
        raise ValueError("give one of --records=DIR, --portraits=DIR and --embedded")
    if values.portraits is not None:
        datasets: DataSets = Records(_made_records(values, workdir))
    else:
        datasets = Embedded() if values.embedded else Records(values.records)
    failed: dict[str, str] = {}
    if not values.list:
        try:
            failed = run_sweep(
                sweep,
                workdir,
                base=values.config,
                datasets=datasets,
                only=values.only,
                overrides=config_flags.get_override_values(values["config"]),
                released=values.released and Path(values.released).expanduser().absolute(),
            )
        except Preempted as preempted:
            print(f"{preempted}; the same command continues", file=sys.stderr)
            return STATUS
    trained = [run for run in sweep.pictures if (workdir / run / NOTE).exists()]
    if trained and not values.list:
        from matnet_jax.sweep.figures import draw_attention

        draw_attention([workdir / run for run in trained], workdir / f"{name}.png")
    metrics = read_sweep(sweep, workdir)
    table = as_markdown(
        sweep, metrics, description=datasets.description, drawn=datasets.drawn, failed=failed
    )
    if jax.process_index() == 0:
        print(table)
        print("runs: " + ", ".join(run.name for run in sweep.runs))
        if not values.list:
            with atomic_file(workdir / f"{name}.md") as file:
                file.write(table)
            with atomic_file(workdir / f"{name}.csv") as file:
                file.write(as_csv(sweep, metrics, failed))
            print(f"wrote {workdir / name}.md")
    return int(bool(failed))


def _made_records(values: flags.FlagValues, workdir: Path) -> Path:
    """Records of `--portraits`, made below the workdir where they are not there yet."""
    import jax

    from data_pipeline.benchmark.make import Plan, Weights, make_benchmark

    records = workdir.expanduser().absolute() / "records"
    if jax.process_count() > 1:
        raise ValueError(
            "--portraits makes records in one process; make them by python -m "
            "data_pipeline.benchmark and give --records"
        )
    if not values.list:
        make_benchmark(
            given_portraits(values),
            records,
            Plan(),
            videos=given_videos(values),
            photos=given_photos(values),
            weights=Weights(*given_weights(values)),
        )
    return records


def load_sweep(name: str) -> tuple[str, Sweep]:
    """Name and `SWEEP` of a file, or of one of those that are shipped.

    Raises:
      ValueError: there is no such file, or it has no `SWEEP`.
    """
    path = find_shipped("sweep", name, parts=("runs", "small"))
    sys.path.insert(0, str(SHIPPED.parent))  # sweeps import configs.sweeps.runs
    spec = spec_from_file_location(f"sweep_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "SWEEP"):
        raise ValueError(f"{path} has no SWEEP (see matnet_jax/sweep/definition.py)")
    return path.stem, module.SWEEP


COMMAND = on_devices(
    Command(program="python -m matnet_jax.sweep", about=__doc__, define=_define, run=_run)
)
