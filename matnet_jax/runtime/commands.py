"""What `run_train.py` and `run_eval.py` share: errors as one message, and quiet libraries."""

import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging

from matnet_jax.runtime.large_pages import restart_with_large_pages


def run_command(main: Callable[[list[str]], int | None], *, takes_arguments: bool = False) -> None:
    """Parses absl flags and runs `main`, whose result is the exit status.

    Args:
      main: gets the command line without its flags.
      takes_arguments: whether anything but flags may be left; else it is refused.

    What a user can put right (a wrong flag, field, path or checkpoint: `ValueError`, `OSError`)
    ends in one message and status 1, anything else in a traceback.
    """
    restart_with_large_pages()
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    _define_flags()
    app.run(lambda argv: _guarded(main, argv, takes_arguments), flags_parser=_parse_flags)


def _define_flags() -> None:
    """Not on import: who imports this package has flags of their own."""
    flags.DEFINE_string(
        "coordinator", None, "host:port of process 0, where no cluster tells it (docs/pods.md)."
    )
    flags.DEFINE_integer("num_processes", None, "Of the whole job.")
    flags.DEFINE_integer("process_id", None, "Of this process, from 0.")
    flags.DEFINE_bool("traceback", False, "Show where an error comes from.")


def _guarded(
    main: Callable[[list[str]], int | None], argv: list[str], takes_arguments: bool
) -> int | None:
    if len(argv) > 1 and not takes_arguments:
        _fail(f"not a flag: {' '.join(argv[1:])}; flags are written --name=value")
    values = flags.FLAGS
    try:
        from matnet_jax.runtime.compile_cache import use_compile_cache  # JAX: after the flags
        from matnet_jax.runtime.distributed import find_job, join

        use_compile_cache()
        join(find_job(values.coordinator, values.num_processes, values.process_id))
        return main(argv)
    except KeyboardInterrupt:
        _fail(
            "interrupted; what is done is kept, and the same command continues from there",
            status=130,
        )
    except (ValueError, OSError) as error:
        if values.traceback:
            raise
        hint = "" if type(error) is not ValueError else "\n(--traceback shows where this arose)"
        _fail(f"{error}{hint}")


def _parse_flags(argv: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)  # Orbax tells every phase of a save
        return rest
    except flags.Error as error:
        lines = str(error).strip().splitlines()
        # An error inside a config file arrives as the text of its traceback: its last line counts.
        _fail(lines[-1] if "Traceback" in str(error) else "\n".join(lines))
    except (AttributeError, KeyError) as error:
        # How ml_collections reports an override of a field that does not exist.
        lines = str(error).strip("\"'").replace("\\n", "\n").replace("\\'", "'").splitlines()
        _fail(f"the config has no field {lines[0]}. " + " ".join(lines[1:]))
    except OSError as error:
        _fail(str(error))


def _fail(message: str, status: int = 1) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
