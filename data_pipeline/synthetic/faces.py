"""Procedural face-like images: an identity, a clip of it, and the drawing of one frame.

Everything is drawn from soft implicit shapes in face coordinates (u right, v down, the face an
ellipse of half height 1), so that edges are smooth at any size.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import cv2
import numpy as np

_SKIN = np.array([[62, 40, 30], [120, 82, 60], [176, 128, 98], [214, 168, 138], [238, 204, 182]])
_GRAIN_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Identity:
    """What stays the same over all clips of a person; lengths in face coordinates."""

    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    width: float
    eye_distance: float
    eye_height: float
    eye_size: float
    brow_thickness: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lip_thickness: float
    hairline: float
    hair_volume: float
    beard: float
    glasses: bool
    grain: np.ndarray


def draw_identity(draw: np.random.Generator) -> Identity:
    """A random person."""
    tone = draw.uniform(0, len(_SKIN) - 1)
    low = int(tone)
    skin = _SKIN[low] + (tone - low) * (_SKIN[min(low + 1, len(_SKIN) - 1)] - _SKIN[low])
    skin = skin * draw.uniform(0.92, 1.08, 3)
    fine = draw.standard_normal((_GRAIN_SIZE, _GRAIN_SIZE))
    coarse = cv2.GaussianBlur(draw.standard_normal((_GRAIN_SIZE, _GRAIN_SIZE)), (0, 0), 3)
    return Identity(
        skin=skin,
        hair=draw.uniform(15, 60) * np.array([1.0, 0.8, 0.6]) * draw.uniform(0.5, 3.0),
        iris=draw.uniform([30, 40, 20], [110, 120, 150]),
        lips=np.clip(skin * [1.0, 0.62, 0.62] * draw.uniform(0.85, 1.1), 0, 255),
        width=draw.uniform(0.68, 0.82),
        eye_distance=draw.uniform(0.29, 0.36),
        eye_height=draw.uniform(-0.28, -0.16),
        eye_size=draw.uniform(0.11, 0.15),
        brow_thickness=draw.uniform(0.025, 0.06),
        brow_arch=draw.uniform(0.2, 1.4),
        nose_length=draw.uniform(0.26, 0.4),
        nose_width=draw.uniform(0.09, 0.16),
        mouth_height=draw.uniform(0.48, 0.6),
        mouth_width=draw.uniform(0.2, 0.32),
        lip_thickness=draw.uniform(0.05, 0.1),
        hairline=draw.uniform(-0.85, -0.6),
        hair_volume=draw.uniform(1.08, 1.35),
        beard=draw.uniform(0.2, 0.6) if draw.random() < 0.25 else 0.0,
        glasses=bool(draw.random() < 0.2),
        # Pores and blotches, in standard deviations; they move with the face.
        grain=(0.8 * fine + 2.0 * coarse / coarse.std()).astype(np.float32),
    )


@dataclasses.dataclass(frozen=True)
class Scene:
    """What stays the same over the frames of a clip; lengths are fractions of the image's size."""

    background: np.ndarray
    clothes: np.ndarray
    light: np.ndarray
    ambient: float
    centre: np.ndarray
    scale: float
    roll: float
    yaw: float
    sway: np.ndarray
    phase: float


def draw_scene(draw: np.random.Generator, size: int) -> Scene:
    """A random background, light and pose."""
    grid = draw.uniform(20, 220, 3) + draw.normal(0, 45, (5, 5, 3))
    background = np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC))
    texture = cv2.GaussianBlur(draw.standard_normal((size, size)), (0, 0), draw.uniform(0.5, 3))
    background = background + np.exp(draw.uniform(0.7, 3.5)) * (texture / texture.std())[..., None]
    for _ in range(draw.integers(0, 4)):
        corners = draw.integers(0, size, (2, 2))
        shade = draw.normal(0, 35, 3)
        (top, left), (bottom, right) = corners.min(0), corners.max(0)
        background[top:bottom, left:right] += shade
    light = np.array([draw.uniform(-0.8, 0.8), draw.uniform(-0.7, 0.2), 1.0])
    return Scene(
        background=np.clip(background, 0, 255),
        clothes=draw.uniform(20, 230, 3),
        light=light / np.linalg.norm(light),
        ambient=draw.uniform(0.4, 0.65),
        centre=np.array([0.5, 0.52]) + draw.uniform(-0.03, 0.03, 2),
        scale=draw.uniform(0.36, 0.41),
        roll=draw.uniform(-0.15, 0.15),
        yaw=draw.uniform(-0.5, 0.5),
        sway=draw.uniform(-1, 1, 4),
        phase=draw.uniform(0, 2 * np.pi),
    )


def pose(scene: Scene, time: float, size: int) -> tuple[np.ndarray, float, float]:
    """The head in a frame: centre [2] in pixels from the image's corner, roll and yaw."""
    swing = np.sin(2 * np.pi * time * 0.7 + scene.phase)
    centre = (scene.centre + 0.02 * swing * scene.sway[:2]) * size
    roll = scene.roll + 0.06 * swing * scene.sway[2]
    yaw = scene.yaw + 0.3 * swing * scene.sway[3]
    return centre, roll, yaw


class FaceGrid(NamedTuple):
    """Face coordinates of every pixel, [S, S] each; `fu` is u turned with the head."""

    u: np.ndarray
    v: np.ndarray
    fu: np.ndarray
    depth: np.ndarray


def face_grid(identity: Identity, scene: Scene, time: float, size: int) -> FaceGrid:
    """Where the face is in a frame.

    Args:
      time: 0 to 1 over the clip.
      size: of the image in pixels.
    """
    centre, roll, yaw = pose(scene, time, size)
    rows, cols = np.mgrid[0:size, 0:size].astype(np.float32) + np.float32(0.5)
    x, y = (cols - centre[0]) / (scene.scale * size), (rows - centre[1]) / (scene.scale * size)
    u = x * np.cos(roll) + y * np.sin(roll)
    v = -x * np.sin(roll) + y * np.cos(roll)
    depth = np.sqrt(np.clip(1 - (u / identity.width) ** 2 - v**2, 0, 1))
    return FaceGrid(u, v, u - 0.3 * yaw * depth, depth)


def _inside(distance: np.ndarray, sharpness: float) -> np.ndarray:
    """1 where distance < 0, 0 where it is > 0, smoothly."""
    return 1 / (1 + np.exp(np.clip(distance * sharpness, -30, 30)))


def _ellipse(
    u: np.ndarray,
    v: np.ndarray,
    centre: tuple[float, float],
    radii: tuple[float, float],
    sharpness: float = 12.0,
) -> np.ndarray:
    distance = ((u - centre[0]) / radii[0]) ** 2 + ((v - centre[1]) / radii[1]) ** 2 - 1
    return _inside(distance, sharpness)


def _paint(image: np.ndarray, mask: np.ndarray, colour: Any) -> np.ndarray:
    mask = mask[..., None]
    return image * (1 - mask) + np.asarray(colour, np.float32) * mask


def draw_frame(identity: Identity, scene: Scene, time: float, size: int) -> np.ndarray:
    """One clean frame: float32 RGB [S, S, 3], 0 to 255, before any camera."""
    grid = face_grid(identity, scene, time, size)
    u, v, fu = grid.u, grid.v, grid.fu
    image = scene.background.astype(np.float32)
    image = _paint(image, _ellipse(u, v, (0, 2.1), (1.5, 1.1)), scene.clothes)
    image = _paint(image, _ellipse(u, v, (0, 1.0), (0.38, 0.7)), identity.skin * 0.62)
    volume = identity.hair_volume
    image = _paint(
        image, _ellipse(u, v, (0, -0.2), (identity.width * volume, volume)), identity.hair
    )

    normal = np.stack([u / identity.width, v, grid.depth], -1)
    shade = scene.ambient + (1 - scene.ambient) * np.clip(normal @ scene.light, 0, None)
    grain = cv2.remap(
        identity.grain,
        ((fu * 0.32 + 0.5) * _GRAIN_SIZE).astype(np.float32),
        ((v * 0.32 + 0.5) * _GRAIN_SIZE).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    face = identity.skin * np.ones((size, size, 1), np.float32)
    face = _draw_features(face, identity, fu, v, time, scene.phase)
    face = face * shade[..., None] + 5.0 * grain[..., None]
    head = _ellipse(u, v, (0, 0), (identity.width, 1.0), 16.0)
    fringe = _inside(identity.hairline + 0.12 * np.cos(5 * fu) - v, 25.0)
    image = _paint(image, head * fringe, face)
    if identity.glasses:
        image = _draw_glasses(image, identity, fu, v)
    return np.clip(image, 0, 255).astype(np.float32)


def _draw_features(
    face: np.ndarray,
    identity: Identity,
    fu: np.ndarray,
    v: np.ndarray,
    time: float,
    phase: float,
) -> np.ndarray:
    eye_v, size = identity.eye_height, identity.eye_size
    openness = 0.2 if np.sin(2 * np.pi * time * 1.3 + 2 * phase) > 0.93 else 1.0
    for side in (-1, 1):
        eye_u = side * identity.eye_distance
        face = _paint(
            face, 0.35 * _ellipse(fu, v, (eye_u, eye_v), (0.2, 0.15), 3), identity.skin * 0.6
        )
        white = _ellipse(fu, v, (eye_u, eye_v), (size, size * 0.55 * openness))
        face = _paint(face, white, (232, 228, 224))
        gaze = eye_u + 0.03 * np.sin(phase + 3 * time)
        face = _paint(
            face, white * _ellipse(fu, v, (gaze, eye_v), (size * 0.5,) * 2), identity.iris
        )
        face = _paint(
            face, white * _ellipse(fu, v, (gaze, eye_v), (size * 0.22,) * 2), (12, 10, 10)
        )
        arch = eye_v - 0.17 + identity.brow_arch * (fu - eye_u) ** 2
        brow = _inside(np.abs(v - arch) / identity.brow_thickness - 1, 6) * _inside(
            np.abs(fu - eye_u) / (size * 1.5) - 1, 10
        )
        face = _paint(face, 0.85 * brow, identity.hair * 0.8)
        cheek = _ellipse(fu, v, (side * 0.42, 0.25), (0.22, 0.2), 3)
        face = _paint(face, 0.15 * cheek, identity.skin * [1.1, 0.8, 0.8])

    tip = eye_v + identity.nose_length + 0.12
    width = identity.nose_width
    ridge = _ellipse(fu, v, (0.25 * width, (eye_v + tip) / 2), (width * 0.45, (tip - eye_v) / 2), 4)
    face = _paint(face, 0.3 * ridge, identity.skin * 1.2)
    shadow = _ellipse(fu, v, (0, tip + 0.03), (width * 1.1, 0.05), 4)
    face = _paint(face, 0.45 * shadow, identity.skin * 0.5)
    for side in (-1, 1):
        nostril = _ellipse(fu, v, (side * width * 0.55, tip), (width * 0.28, 0.022))
        face = _paint(face, 0.8 * nostril, identity.skin * 0.3)

    if identity.beard:
        beard = _ellipse(fu, v, (0, 0.72), (0.5, 0.42), 5)
        face = _paint(face, identity.beard * beard, identity.hair)
    mouth, thickness = (0.0, identity.mouth_height), identity.lip_thickness
    opening = 0.03 * (1 + np.sin(2 * np.pi * time + phase))
    lips = _ellipse(fu, v, mouth, (identity.mouth_width, thickness + opening))
    face = _paint(face, 0.9 * lips, identity.lips)
    inner = _ellipse(fu, v, mouth, (identity.mouth_width * 0.85, 0.012 + opening * 0.6))
    return _paint(face, inner, (50, 18, 20))


def _draw_glasses(
    image: np.ndarray, identity: Identity, fu: np.ndarray, v: np.ndarray
) -> np.ndarray:
    radius = identity.eye_distance * 0.72
    for side in (-1, 1):
        centre = (side * identity.eye_distance, identity.eye_height)
        distance = np.hypot(fu - centre[0], (v - centre[1]) * 1.15) / radius - 1
        image = _paint(image, _inside(np.abs(distance) / 0.1 - 1, 6), (25, 25, 30))
    bridge = _inside(np.abs(v - identity.eye_height) / 0.025 - 1, 6) * _inside(
        np.abs(fu) / (identity.eye_distance - radius) - 1, 10
    )
    return _paint(image, bridge, (25, 25, 30))
