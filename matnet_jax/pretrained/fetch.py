"""A checkpoint's path or URL as a local file whose hash is checked."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import shutil
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

from matnet_jax.pretrained.files import CheckpointFileError

_log = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 60
_SCHEMES = ("http", "https", "file")


def default_cache_dir() -> Path:
    """$MATNET_CACHE, or `matnet_jax` in the user's cache folder."""
    if "MATNET_CACHE" in os.environ:
        return Path(os.environ["MATNET_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matnet_jax"


def fetch(
    source: str | Path, *, sha256: str | None = None, cache_dir: str | Path | None = None
) -> Path:
    """The local file of `source`, downloaded once if it is a URL.

    A download appears in the cache whole and with the right hash, or not at all.

    Args:
      source: a path, or an http, https or file URL.
      sha256: 64 hexadecimal digits that the file must have.
      cache_dir: for downloads; see `default_cache_dir`.

    Raises:
      FileNotFoundError: there is no such file.
      CheckpointFileError: the download failed or ended early, or the hash is another.
    """
    url = str(source)
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if "://" not in url:
        path = Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"no checkpoint {path}: neither a file nor a folder")
        if sha256 is not None:
            _check(_hash(path), sha256, str(path))
        return path
    if scheme not in _SCHEMES:
        raise CheckpointFileError(f"cannot fetch {url}: use a path or {', '.join(_SCHEMES)}")
    target = _cached_path(url, Path(cache_dir) if cache_dir else default_cache_dir())
    if target.exists() and (sha256 is None or _hash(target) == sha256.lower()):
        return target
    _download(url, target, sha256)
    return target


def _cached_path(url: str, cache_dir: Path) -> Path:
    # Two URLs may end in the same name; the name stays last, for it tells AdvProp from plain.
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name or "checkpoint"
    return cache_dir / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"


def _download(url: str, target: Path, sha256: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(handle, "wb") as file:
            try:
                with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
                    shutil.copyfileobj(response, file, 1 << 20)
                    promised = response.headers.get("Content-Length")
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                raise CheckpointFileError(f"cannot download {url} ({reason})") from error
            received = file.tell()
        if promised is not None and received != int(promised):
            raise CheckpointFileError(
                f"the download of {url} ended early: {received} of {promised} bytes; try again"
            )
        found = _hash(Path(temporary))
        if sha256 is not None:
            _check(found, sha256, url)
        else:
            _log.info("downloaded %s (pass sha256='%s' to pin it)", url, found)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _hash(path: Path) -> str:
    if path.is_dir():
        raise CheckpointFileError(f"{path} is a folder and has no sha256; leave sha256 out")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(found: str, wanted: str, what: str) -> None:
    if found != wanted.lower():
        raise CheckpointFileError(f"{what} has sha256 {found}, wanted {wanted.lower()}")
