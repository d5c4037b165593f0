"""Files from the network: fetched once, checked, and kept in the cache folder."""

from __future__ import annotations

import hashlib
import shutil
import sys
import urllib.parse
import urllib.request
from pathlib import Path

from data_pipeline.files import cache_folder, sha256_of

_TIMEOUT_SECONDS = 60
_SCHEMES = ("http", "https", "file")


class FetchError(ValueError):
    """A file cannot be had, or is not the wanted one; the message says where it would lie."""


def fetch(
    url: str,
    *,
    sha256: str | None = None,
    folder: str | Path | None = None,
    name: str | None = None,
) -> Path:
    """The local copy of `url`, downloaded where there is none or its hash is another.

    A download appears in the folder whole and with the right hash, or not at all.

    Args:
      url: http, https or file.
      sha256: 64 hexadecimal digits that the file must have; without, whatever lies there is taken.
      folder: for the copy; `cache_folder` by default.
      name: of the copy; by default the URL's own, behind some digits that tell equal names apart.

    Raises:
      FetchError: the download failed or ended early, or the hash is another.
    """
    if urllib.parse.urlsplit(url).scheme.lower() not in _SCHEMES:
        raise FetchError(f"cannot fetch {url}: use a path or {', '.join(_SCHEMES)}")
    import pooch  # only where something is fetched

    pooch.get_logger().setLevel("WARNING")  # it tells of every file, in its own API's words
    target = (Path(folder) if folder else cache_folder()).expanduser() / (name or _name(url))

    def download(url: str, file: str, _: object) -> None:
        if url.lower().startswith("file:"):
            shutil.copyfile(urllib.request.url2pathname(urllib.parse.urlsplit(url).path), file)
        else:
            bar = sys.stderr.isatty()
            pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT_SECONDS)(url, file, None)
        if sha256 is not None:
            check(Path(file), sha256, url)

    known = f"sha256:{sha256.lower()}" if sha256 else None
    try:
        pooch.retrieve(url, known, fname=target.name, path=target.parent, downloader=download)
    except FetchError:
        raise
    except Exception as error:  # whatever the network or the file system raises
        raise FetchError(
            f"cannot download {url} ({error}); without a network, put the file at {target}"
        ) from error
    return target


def check(path: Path, sha256: str, what: str) -> None:
    """Refuses a file of another hash.

    Args:
      path: the file.
      sha256: 64 hexadecimal digits.
      what: it is called in the message.

    Raises:
      FetchError: its hash is another.
    """
    found = sha256_of(path)
    if found != sha256.lower():
        raise FetchError(f"{what} has sha256 {found}, wanted {sha256.lower()}")


def _name(url: str) -> str:
    # The name stays last, for it tells AdvProp from plain; where all files of a hub are called
    # alike, as in "NAME/resolve/main/model.safetensors", that of the repository tells.
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    repository, hub, _ = path.partition("/resolve/")
    told = [Path(repository).name] if hub else []
    name = "-".join((*told, Path(path).name or "checkpoint"))
    return f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
