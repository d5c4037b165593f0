"""What `run_train.py` and `run_eval.py` share: errors as one message, and quiet libraries."""

import sys
import warnings
from collections.abc import Callable

from absl import app, flags, logging

_TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where an error comes from.")


def run_command(main: Callable[[list[str]], None]) -> None:
    """Parses absl flags and runs `main`.

    What a user can put right (a wrong flag, field, path or checkpoint: `ValueError`, `OSError`)
    ends in one message and status 1, anything else in a traceback.
    """
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    app.run(lambda argv: _guarded(main, argv), flags_parser=_parse_flags)


def _guarded(main: Callable[[list[str]], None], argv: list[str]) -> None:
    if len(argv) > 1:
        _fail(f"not a flag: {' '.join(argv[1:])}; flags are written --name=value")
    try:
        main(argv)
    except KeyboardInterrupt:
        _fail("interrupted; the same command continues from the last checkpoint", status=130)
    except (ValueError, OSError) as error:
        if _TRACEBACK.value:
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
    raise AssertionError("unreachable")


def _fail(message: str, status: int = 1) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
