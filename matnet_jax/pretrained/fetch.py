"""A checkpoint's path or URL as a local file whose hash is checked."""

from __future__ import annotations

from pathlib import Path

import data_pipeline.fetch
from data_pipeline.fetch import FetchError
from matnet_jax.pretrained.files import CheckpointFileError


def fetch(
    source: str | Path, *, sha256: str | None = None, cache_dir: str | Path | None = None
) -> Path:
    """The local file of `source`, downloaded once if it is a URL.

    Args:
      source: a path, or an http, https or file URL.
      sha256: 64 hexadecimal digits that the file must have.
      cache_dir: for downloads; see `data_pipeline.files.cache_folder`.

    Raises:
      FileNotFoundError: there is no such file.
      CheckpointFileError: the download failed or ended early, or the hash is another.
    """
    try:
        if "://" in str(source):
            return data_pipeline.fetch.fetch(str(source), sha256=sha256, folder=cache_dir)
        path = Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"no checkpoint {path}: neither a file nor a folder")
        if sha256 is not None:
            if path.is_dir():
                raise FetchError(f"{path} is a folder and has no sha256; leave sha256 out")
            data_pipeline.fetch.check(path, sha256, str(path))
        return path
    except FetchError as error:
        raise CheckpointFileError(str(error)) from error
