"""Makes docs/examples/faces: six portraits of the Face Research Lab London Set, and six swaps.

    python tools/example_faces.py PORTRAITS        # a folder with manifest.csv and landmarks.npz

Each picture says below itself what it is, and the swaps that they are altered.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from data_pipeline.files import write_csv
from data_pipeline.swaps.kinds import KINDS, at_face_width
from data_pipeline.swaps.portraits import Face, read_face, sources_of_manifest
from data_pipeline.swaps.store import Storage

OUT = Path(__file__).parents[1] / "docs" / "examples" / "faces"
# Kind, whose photo, whose face, and of how many pixels it is before it is pasted. Of the people by
# whom shipped weights are chosen: pictures that are looked at judge nothing afterwards.
SWAPS = (
    ("poisson", "036", "045", None),
    ("paste", "045", "036", 96),
    ("poisson", "061", "062", 96),
    ("paste", "062", "061", None),
    ("splice", "091", "097", None),
    ("poisson", "097", "091", None),
)
LABEL_HEIGHT = 28
STORED = Storage("jpeg", quality=88)


def main() -> None:
    """Reads the portraits, and writes all pictures with their labels."""
    [portraits] = map(Path, sys.argv[1:])
    people = {target for _, target, _, _ in SWAPS}
    sources = {
        source.person.partition(":")[2]: source
        for source in sources_of_manifest(portraits, ["london"])
        if source.path.stem.endswith("neutral")
    }
    faces: dict[str, Face] = {}
    for person in sorted(people):
        face = read_face(sources[person], None, scale=0.9)
        if face is None:
            raise SystemExit(f"no face in {sources[person].path}")
        faces[person] = face
        STORED.write(OUT / f"real-{person}.jpg", labelled(face.image, f"photo {person}"))
    for number, (kind, target, donor, width) in enumerate(SWAPS):
        donated = at_face_width(faces[donor], width)
        image = KINDS[kind](faces[target], donated, np.random.default_rng(number))
        text = f"ALTERED: face of {donor} in photo {target} ({kind})"
        STORED.write(OUT / f"swap-{target}-{donor}.jpg", labelled(image, text))
    write_csv(
        OUT / "sources.csv",
        ("person", "licence", "source"),
        ((person, sources[person].licence, sources[person].origin) for person in sorted(people)),
    )


def labelled(image: np.ndarray, text: str) -> np.ndarray:
    """The picture above a line of text: uint8 RGB [H, W, 3] -> [H + LABEL_HEIGHT, W, 3]."""
    label = np.full((LABEL_HEIGHT, image.shape[1], 3), 255, np.uint8)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    cv2.putText(label, text, (6, LABEL_HEIGHT - 9), font, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([image, label])


if __name__ == "__main__":
    main()
