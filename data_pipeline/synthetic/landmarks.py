"""Where the features of a drawn face are."""

from __future__ import annotations

import numpy as np

from data_pipeline.synthetic.faces import Identity, Scene, pose

_ROUNDS = 12  # of the fixed-point iteration, which gains about a digit in one


def face_landmarks(identity: Identity, scene: Scene, time: float, size: int) -> np.ndarray:
    """The 5 points of a frame, as `Example` has them: float32 [5, 2], x and y in pixels.

    Args:
      identity, scene: that are drawn.
      time: 0 to 1 over the clip.
      size: of the image in pixels.
    """
    centre, roll, yaw = pose(scene, time, size)
    eye, mouth = identity.eye_height, identity.mouth_height
    nose = eye + identity.nose_length + 0.06  # above the nostrils
    turned = np.array([-1, 1, 0, 0, 0]) * identity.eye_distance
    turned += np.array([0, 0, 0, -1, 1]) * identity.mouth_width
    v = np.array([eye, eye, nose, mouth, mouth])
    # The drawing turns the head by fu = u − 0.3·yaw·depth(u, v): solved for u.
    u = turned
    for _ in range(_ROUNDS):
        depth = np.sqrt(np.clip(1 - (u / identity.width) ** 2 - v**2, 0, 1))
        u = turned + 0.3 * yaw * depth
    x = u * np.cos(roll) - v * np.sin(roll)
    y = u * np.sin(roll) + v * np.cos(roll)
    # The drawing counts from the image's corner, landmarks from its first pixel's centre.
    points = np.stack([x, y], axis=-1) * scene.scale * size + centre - 0.5
    return points.astype(np.float32)
