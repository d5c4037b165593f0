"""Large memory pages for a command's process: a training step on CPUs takes a third less time.

XLA asks for gigabytes each step. In pages of 4 KiB, zeroing them and translating their addresses
takes that third (docs/performance.md).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_VARIABLE = "GLIBC_TUNABLES"
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_SINCE = (2, 35)  # glibc's tunable is as old


def restart_with_large_pages() -> None:
    """Starts this program again, as the same process, with glibc's large pages.

    glibc reads the setting only when a program starts, so this is for the first lines of a command.
    Returns where there is nothing to set: no Linux that leaves large pages to programs, no such
    glibc, or the variable ``GLIBC_TUNABLES`` is there, also empty.
    """
    if _VARIABLE in os.environ or not _leaves_it_to_programs() or _glibc() < _SINCE:
        return
    environment = os.environ | {_VARIABLE: "glibc.malloc.hugetlb=1"}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _leaves_it_to_programs() -> bool:
    try:
        return "[madvise]" in _SETTING.read_text()
    except OSError:
        return False


def _glibc() -> tuple[int, ...]:
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()  # such as "glibc 2.36"
        return tuple(int(part) for part in version.split(".")) if name == "glibc" else (0,)
    except (ValueError, OSError):  # another C library
        return (0,)
