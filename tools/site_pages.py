"""Brings pages from outside docs/ into the site, and leads the links between them and docs/ there.

A hook of MkDocs: mkdocs.yml names this file. On the plain repository every link stays as it is.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BROUGHT = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Path in the repository -> in the site."""

_REPOSITORY = {page: path for path, page in BROUGHT.items()}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the pages."""
    for path, page in BROUGHT.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Leads links out of and into docs/ to pages of the site; a link to no page becomes text."""
    here = page.file.src_uri
    path = _REPOSITORY.get(here, f"docs/{here}")

    def led(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not (ROOT / wanted).exists():
            return link[0]  # MkDocs says that it leads nowhere
        if wanted.startswith("docs/"):
            goal = wanted.removeprefix("docs/")
        elif wanted in BROUGHT:
            goal = BROUGHT[wanted]
        else:
            return text
        return f"[{text}]({posixpath.relpath(goal, posixpath.dirname(here) or '.')}{anchor})"

    return _LINK.sub(led, markdown)
