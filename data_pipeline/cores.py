"""How many cores there are to work with."""

import os


def usable_cores() -> int:
    """Cores that this process may run on; all of the machine's where the system cannot say."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
