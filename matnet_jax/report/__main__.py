"""`python -m matnet_jax.report compare A B …`: evaluations side by side."""

import argparse
import sys

from matnet_jax.report.comparison import as_text, compare, load_evaluations, write_comparison


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, or 2 if an evaluation can't be read."""
    parser = argparse.ArgumentParser(prog="python -m matnet_jax.report")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("compare", help="put evaluations side by side")
    command.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="what run_eval.py wrote (scores.csv, metrics.json); the first is the baseline",
    )
    command.add_argument("--out", default="comparison.html", help="page to write (%(default)s)")
    command.add_argument("--num_resamples", type=int, default=1000, help="draws (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="of the draws (%(default)s)")
    options = parser.parse_args(arguments)
    if options.num_resamples < 1:
        command.error(f"--num_resamples is {options.num_resamples}, wanted at least 1")
    try:
        comparison = compare(
            load_evaluations(options.folders),
            num_resamples=options.num_resamples,
            seed=options.seed,
        )
        write_comparison(options.out, comparison)
    except (OSError, ValueError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    print(as_text(comparison))
    print(f"\nwrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
