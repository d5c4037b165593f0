"""Ruins files and reads them: none may crash, hang, or take more memory than it is given.

    python tests/fuzz.py [--files=10000] [--only=videos] [--seed=0] [--out=FOLDER]

Each ruin is made from (seed, number) alone, so a failure's number brings it back. A child process
reads; where it dies or hangs the next takes over after that file. Ends with status 1 on failures,
whose files are kept in --out.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

_SPARE = 1 << 30  # bytes of memory that reading may take beyond what the imports took
_PATIENCE = 120.0  # seconds of a file
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclasses.dataclass
class Tally:
    """What came of a target's ruins."""

    read: int = 0
    refused: int = 0
    failures: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    megabytes: float = 0.0  # the most that reading added to what the imports took
    seconds: float = 0.0  # of the slowest file


def ruin(whole: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to six wounds, most of them near its beginning, where headers are."""
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 7))):
        size = max(len(data), 1)
        near = min(size, 256) if rng.random() < 0.5 else size
        at = int(rng.integers(near))
        kind = int(rng.integers(9))
        length = int(rng.integers(1, min(64, size) + 1))
        if kind == 0 and data:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1 and data:
            data[at] = int(rng.integers(256))
        elif kind in (2, 3):
            form = rng.choice([">", "<"]) + rng.choice(["B", "H", "I"])
            width = struct.calcsize(form)
            value = int(rng.choice(_INTERESTING)) & ((1 << 8 * width) - 1)
            data[at : at + width] = struct.pack(form, value)
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length] * int(rng.integers(1, 9))
        elif kind == 6:
            data[at : at + length] = rng.bytes(length)
        elif kind == 7:
            start = int(rng.integers(max(len(other), 1)))
            data[at : at + length] = other[start : start + length]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def fuzz(name: str, files: int, *, seed: int = 0, out: Path | None = None) -> Tally:
    """Reads so many ruins of a target of `fuzz_seeds.TARGETS`."""
    tally, first = Tally(), 0
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        while first < files:
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(
                target=_read_all, args=(name, first, files, seed, Path(folder), theirs), daemon=True
            )
            child.start()
            theirs.close()
            try:
                first = _follow(child, ours, tally, first, Path(folder) / "stderr")
            finally:
                child.kill()
                child.join()
        for number, _ in tally.failures if out is not None else ():
            out.mkdir(parents=True, exist_ok=True)
            seeds = _seeds(name, Path(folder) / "kept")
            path, content = _made(seeds, seed, number)
            (out / f"{name}-{number}-{path.name}").write_bytes(content)
    return tally


def _follow(
    child: multiprocessing.process.BaseProcess,
    words: multiprocessing.connection.Connection,
    tally: Tally,
    first: int,
    said: Path,
) -> int:
    """Counts what a child says of its files; the number that the next child begins with.

    Raises:
      RuntimeError: the child does not even read whole files.
    """
    current, begun = first, False
    while True:
        try:
            if begun and not words.poll(_PATIENCE):
                tally.failures.append((current, f"no answer in {_PATIENCE:g} seconds"))
                return current + 1
            word = words.recv()
        except EOFError:
            child.join()
            last = said.read_text(errors="replace").strip() if said.exists() else ""
            if not begun:
                raise RuntimeError(f"whole files are not read: {last}") from None
            if child.exitcode == 0:
                return sys.maxsize
            tally.failures.append((current, f"{last}\nthe reader died: status {child.exitcode}"))
            return current + 1
        if word == "begun":
            begun = True
            continue
        number, word, megabytes, seconds = word
        current = number + 1
        tally.megabytes = max(tally.megabytes, megabytes)
        tally.seconds = max(tally.seconds, seconds)
        if word in ("read", "refused"):
            setattr(tally, word, getattr(tally, word) + 1)
        else:
            tally.failures.append((number, word))


def _read_all(
    name: str,
    first: int,
    files: int,
    seed: int,
    folder: Path,
    words: multiprocessing.connection.Connection,
) -> None:
    """In a child: makes and reads the ruins from `first` on, and says what came of each."""
    from fuzz_seeds import TARGETS

    said = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)  # C libraries talk
    os.dup2(said, 1)
    os.dup2(said, 2)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target = TARGETS[name]
    seeds = _seeds(name, folder / "whole")
    for path in seeds:  # whole files are read; this brings all imports, too
        target.read(path)
    content = {path: path.read_bytes() for path in seeds}
    size = _memory()[0] + _SPARE
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    before = _memory()[1]
    words.send("begun")
    for number in range(first, files):
        path, data = _made(seeds, seed, number, content)
        path.write_bytes(data)
        start = time.monotonic()
        try:
            target.read(path)
            word = "read"
        except target.errors:
            word = "refused"
        except Exception:
            word = traceback.format_exc()
        path.write_bytes(content[path])
        words.send((number, word, max(0.0, _memory()[1] - before), time.monotonic() - start))


def _seeds(name: str, folder: Path) -> list[Path]:
    """Whole files; made anew, as a child that died may have left a ruin."""
    from fuzz_seeds import TARGETS

    shutil.rmtree(folder, ignore_errors=True)
    return TARGETS[name].seeds(folder)


def _made(
    seeds: list[Path], seed: int, number: int, content: dict[Path, bytes] | None = None
) -> tuple[Path, bytes]:
    rng = np.random.default_rng((seed, number))
    path, other = (seeds[int(rng.integers(len(seeds)))] for _ in range(2))
    whole = content or {p: p.read_bytes() for p in (path, other)}
    return path, ruin(whole[path], whole[other], rng)


def _memory() -> tuple[int, float]:
    """Bytes of address space now, and the most megabytes that were resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize(), resident


def main() -> int:
    """The command."""
    from fuzz_seeds import TARGETS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000, help="in all")
    parser.add_argument("--only", choices=TARGETS, nargs="*", default=list(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    given = parser.parse_args()
    failed = 0
    print("target              files   read  refused  failed   + MB  slowest s", flush=True)
    for name in given.only:
        tally = fuzz(name, given.files // len(given.only), seed=given.seed, out=given.out)
        count = tally.read + tally.refused + len(tally.failures)
        failed += len(tally.failures)
        print(
            f"{name:18} {count:6} {tally.read:6} {tally.refused:8} {len(tally.failures):7} "
            f"{tally.megabytes:6.0f} {tally.seconds:10.2f}",
            flush=True,
        )
        said = collections.Counter(word.strip().splitlines()[-1] for _, word in tally.failures)
        for line, times in said.most_common():
            number, word = next(f for f in tally.failures if line in f[1])
            print(f"  {times} × {line}; such as file {number}")
            print("\n".join(f"    {part}" for part in word.strip().splitlines()[-9:-1]))
    return int(failed > 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])  # for the children
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
