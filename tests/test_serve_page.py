"""The page in a real browser: Debian's Chromium, without a window."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE, Running, picture, running, until
from videos import write_clip

from matnet_jax.predict.serve.service import Allowed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # Root, as which CI may run, has no sandbox; the pages are our own.
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with running(monkeypatch) as made:
        yield made


class Seen:
    """A page, what it complained of, and where it sent requests."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)


def opened(browser: Any, server: Running, **options: Any) -> Seen:
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * PATIENCE)
    seen = Seen(context.new_page())
    seen.page.goto(server.url)
    return seen


@pytest.fixture
def seen(browser: Any, server: Running) -> Iterator[Seen]:
    made = opened(browser, server)
    yield made
    made.page.context.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "two people.mp4", 64)


def test_a_clip_from_drop_to_download(seen: Seen, server: Running, clip: Path) -> None:
    page = seen.page
    page.get_by_text("At most 200 MB a file").wait_for()
    page.set_input_files("#files", clip)
    card = page.get_by_role("article")
    card.get_by_role("img").wait_for()
    assert card.locator(".verdict").inner_text() == "real"
    assert "two people.mp4: real" in page.get_by_role("status").inner_text()
    assert "single frames of this person" in card.locator(".uncertainty").inner_text()
    assert card.locator("tbody tr").count() == 2  # two people

    points = card.get_by_role("option")
    assert points.count() == 11
    points.first.click()
    caption = card.locator(".caption")
    caption.get_by_text("(frame 4)").wait_for()
    assert points.first.get_attribute("aria-selected") == "true"
    card.get_by_label("Boxes and heat map").uncheck()
    page.get_by_alt_text(re.compile("^Frame: face")).wait_for()
    with page.expect_download() as download:
        card.get_by_role("button", name="Download JSON").click()
    [entry] = json.loads(download.value.path().read_text())
    assert entry["input"] == "two people.mp4" and len(entry["tracks"]) == 2
    with page.expect_download() as download:
        card.get_by_role("button", name="Download report").click()
    assert "two people.mp4" in download.value.path().read_text()

    card.get_by_role("button", name="Remove two people.mp4").click()
    until(lambda: not server.left())
    assert page.get_by_role("article").count() == 0
    assert seen.problems == []
    assert all(url.startswith((server.url, "blob:")) for url in seen.asked)


def test_it_is_used_by_keys_alone(seen: Seen, clip: Path) -> None:
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    page.set_input_files("#files", clip)  # the system's own dialogue is not the page's
    page.get_by_role("article").get_by_role("img").wait_for()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "option":
            break
    chosen = "document.activeElement.getAttribute('aria-label')"
    page.keyboard.press("Home")
    first = page.evaluate(chosen)
    assert first.startswith("0.16 seconds")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(chosen).startswith("0.48 seconds")
    page.get_by_text("(frame 12)").wait_for()
    page.keyboard.press("End")
    assert page.evaluate(chosen).startswith("2.40 seconds")
    page.keyboard.press("Tab")  # one stop for all points; the next button ends the tools
    assert page.evaluate("document.activeElement.textContent") == "Previous frame"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "overlay"
    page.keyboard.press("Space")
    page.get_by_alt_text(re.compile("^Frame: face")).wait_for()
    assert seen.problems == []


def test_files_that_are_dropped_and_one_that_is_broken(seen: Seen) -> None:
    page = seen.page
    data = page.evaluate_handle(
        """bytes => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "<img src=x onerror=alert(1)>.jpg"));
          data.items.add(new File(["nonsense"], "notes.txt"));
          return data;
        }""",
        list(picture()),
    )
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    good = page.get_by_role("article").filter(has_text="onerror")
    bad = page.get_by_role("article").filter(has_text="notes.txt")
    good.get_by_role("img").wait_for()
    bad.get_by_text("no picture or video by its first bytes").wait_for()
    assert good.locator("h2").inner_text() == "<img src=x onerror=alert(1)>.jpg"
    assert bad.locator(".verdict").inner_text() == "no score"
    assert good.locator(".over-time").is_hidden()  # one frame has no course
    assert seen.problems == []


def test_progress_and_removing_what_is_on_its_way(seen: Seen, server: Running, clip: Path) -> None:
    server.network.gate.clear()
    seen.page.set_input_files("#files", clip)
    bar = seen.page.get_by_role("progressbar", name="Progress of two people.mp4")
    until(lambda: float(bar.get_attribute("value")) > 0.5)
    seen.page.get_by_text("Looking for faces").wait_for()
    seen.page.get_by_role("button", name="Remove two people.mp4").click()
    until(lambda: server.places == 0)
    server.network.gate.set()


def test_closing_the_page_deletes_its_results(browser: Any, server: Running, clip: Path) -> None:
    seen = opened(browser, server)
    seen.page.set_input_files("#files", clip)
    seen.page.get_by_role("article").get_by_role("img").wait_for()
    assert len(server.service.jobs) == 1
    seen.page.goto("about:blank")
    until(lambda: len(server.service.jobs) == 0)
    seen.page.context.close()


def test_limits_and_the_token(browser: Any, monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    allowed = Allowed(token="s3cret", queue=1, upload_bytes=2**20)
    with running(monkeypatch, allowed) as server:
        seen = opened(browser, server)
        page = seen.page
        for token in ("wrong", "s3cret"):
            page.get_by_label("This service asks for a token").fill(token)
            page.get_by_role("button", name="Use it").click()
        page.get_by_text("At most 1 MB a file").wait_for()
        large = {"name": "large.mp4", "mimeType": "video/mp4", "buffer": bytes(2**21)}
        page.set_input_files("#files", large)
        page.get_by_text("larger than the 1 MB").wait_for()
        server.network.gate.clear()
        page.set_input_files("#files", [clip, clip])
        page.get_by_text("The queue is full").wait_for()
        server.network.gate.set()
        until(lambda: page.get_by_role("article").get_by_role("img").count() == 2)
        page.context.close()


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_width_and_follows_the_scheme(
    browser: Any, server: Running, clip: Path, width: int, scheme: str
) -> None:
    seen = opened(browser, server, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = seen.page
    page.set_input_files("#files", clip)
    page.get_by_role("article").get_by_role("img").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = sum(int(part) for part in back[4:-1].split(","))
    assert (bright > 600) == (scheme == "light")
    assert _contrast(page) >= 4.5
    page.context.close()


def _contrast(page: Any) -> float:
    """The lowest contrast of text to what is behind it, as WCAG 2 has it."""
    return page.evaluate(
        """() => {
          const light = (text) => {
            const [r, g, b] = text.match(/[\\d.]+/g).map((v) => {
              const s = Number(v) / 255;
              return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (element) => {
            const own = getComputedStyle(element).backgroundColor;
            return own !== "rgba(0, 0, 0, 0)" ? own : behind(element.parentElement);
          };
          let lowest = 21;
          for (const element of document.querySelectorAll("main *")) {
            const text = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            if (!text || element.closest("svg, noscript") || !element.checkVisibility()) continue;
            const pair = [light(getComputedStyle(element).color), light(behind(element))];
            lowest = Math.min(lowest, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05));
          }
          return lowest;
        }"""
    )
