"""Makes the pictures of docs/serve.md: the page with a clip that the project draws.

    python tools/screenshots.py WORKDIR        # of `make demo`: runs/demo

Needs the extra `test` and Debian's `chromium`.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import cv2
from playwright.sync_api import sync_playwright

from data_pipeline.synthetic.clips import make_clips

ROOT = Path(__file__).parents[1]
PERSON, FRAMES, SIDE = 1, 24, 480


def main() -> None:
    """Serves the network of a workdir, and takes the pictures."""
    [workdir] = sys.argv[1:]
    command = [sys.executable, "-m", "matnet_jax", "serve", f"--workdir={workdir}", "--port=0"]
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "interview.mp4")
        server = subprocess.Popen(
            [*command, "--detector=none"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            take(server.stdout.readline().split()[2], clip)
        finally:
            server.terminate()
            server.wait()


def write_clip(path: Path) -> Path:
    """A forged clip of a person whom the demo's training has not seen."""
    images, columns = make_clips("test", num_identities=PERSON + 1, frames_per_clip=FRAMES)
    own = (columns["source_id"] == f"test{PERSON:03d}") & (columns["label"] == 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width = stream.height = SIDE
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "12"}
        for image in images[own]:
            grown = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grown, format="rgb24")))
        container.mux(stream.encode())
    return path


def take(url: str, clip: Path) -> None:
    """The four pictures, into docs/images."""
    with sync_playwright() as started:
        chromium = shutil.which("chromium")
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (1200, 390):
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                page = context.new_page()
                page.goto(url)
                page.set_input_files("#files", clip)
                page.get_by_role("article").get_by_role("img").wait_for()
                out = ROOT / "docs" / "images" / f"serve-{width}-{scheme}.png"
                page.screenshot(path=out, full_page=True)
                print(f"{out.relative_to(ROOT)}: {out.stat().st_size:,} bytes")
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
