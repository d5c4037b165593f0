"""More kinds of photos out of the same faces: turned, lit otherwise, occluded, on other grounds.

The scene changes for the real and the fake of a pair alike, so that none of it says which is which.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from data_pipeline.training.blend.ranges import check_probabilities, check_range
from data_pipeline.training.blend.transforms import chance
from data_pipeline.training.draws import stream
from data_pipeline.training.example import Example
from data_pipeline.training.ops.base import Range

Pair = tuple[Example, Example]

_FIELD = 24
"""Side of the grids that smooth fields are computed on, before they are grown to the image."""
_HEAD = (1.15, 1.3)
"""Half width and height of an ellipse that holds the head, in halves of the face's box."""
_GAMMA = 2.2
_BLURS = (1.0, 6.0)
"""Of a ground out of focus, in hundredths of the face's side."""
_STREAM = 2**33
"""Of the generators of the steps; the ops that follow have those from 0 on (see `apply_ops`)."""


@dataclasses.dataclass(frozen=True)
class Breadth:
    """What changes the scene of both of a pair, by the same draws; all of it off by default.

    It is done after blending, in this order. What is occluded is no longer forged: there the mask
    is 0.

    Attributes:
      background: probability that what is around the head is out of focus and of another colour.
      occluders: probability that one to three shapes hide parts of the face and its surroundings.
      occluder_size: their least and greatest length, in sides of the face's box.
      lighting: probability of other light, by spherical harmonics of degrees 1 and 2 over an
        ellipsoid in the place of the face.
      lighting_strength: standard deviation of the light over it, whose mean is 1.
      gamma: probability of a field of gamma that changes smoothly over the image.
      gamma_range: its least and greatest.
      rotation: probability that the image is turned about the face's centre.
      rotation_degrees: at most, to either side.

    Raises:
      ValueError: no probability, or a range out of order.
    """

    background: float = 0.0
    occluders: float = 0.0
    occluder_size: Range = (0.1, 0.4)
    lighting: float = 0.0
    lighting_strength: float = 0.4
    gamma: float = 0.0
    gamma_range: Range = (0.6, 1.6)
    rotation: float = 0.0
    rotation_degrees: float = 15.0

    def __post_init__(self) -> None:
        check_probabilities(self, ("background", "occluders", "lighting", "gamma", "rotation"))
        check_range("occluder_size", self.occluder_size, 0.01, 1)
        check_range("gamma_range", self.gamma_range, 0.1, 10)
        for name in ("lighting_strength", "rotation_degrees"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)}: not negative")

    def change(self, real: Example, fake: Example, face: np.ndarray, seed: int) -> Pair:
        """The pair in another scene; a pure function of pair, face and seed.

        Args:
          real, fake: of equal size and landmarks, with masks; they are left as they are.
          face: [2, 2], (x, y) at the upper left and the lower right of the face's box.
          seed: 32 bits; each step has a random stream of its own.
        """
        steps: tuple[tuple[float, Callable[[Pair, np.ndarray, np.random.Generator], Pair]], ...] = (
            (self.background, _background),
            (self.occluders, self._occlude),
            (self.lighting, self._light),
            (self.gamma, self._gamma_field),
            (self.rotation, self._turn),
        )
        pair = (real, fake)
        for number, (p, step) in enumerate(steps):
            if p > 0:
                draw = stream(seed, _STREAM + number)
                pair = step(pair, face, draw) if chance(p, draw) else pair
        return pair

    def _occlude(self, pair: Pair, face: np.ndarray, draw: np.random.Generator) -> Pair:
        for _ in range(int(draw.integers(1, 4))):
            pair = _occluded(pair, face, draw, self.occluder_size)
        return pair

    def _light(self, pair: Pair, face: np.ndarray, draw: np.random.Generator) -> Pair:
        shape = pair[0].image.shape[:2]
        light = harmonic_light(shape, face, draw, strength=self.lighting_strength)
        gain = cv2.merge([light ** np.float32(1 / _GAMMA)] * 3)  # light is linear, pixels are not
        return _each(pair, lambda image: cv2.multiply(image, gain, dtype=cv2.CV_8U))

    def _gamma_field(self, pair: Pair, face: np.ndarray, draw: np.random.Generator) -> Pair:
        del face
        height, width = pair[0].image.shape[:2]
        least, greatest = np.log(self.gamma_range)
        first, second = np.exp(draw.uniform(least, greatest, 2))
        coarse = draw.uniform(-0.2, 1.2, (4, 4)).astype(np.float32)
        field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        # Between two images of one gamma each: a power of each pixel's own would cost ten times.
        curves = [255 * (np.arange(256) / 255) ** gamma for gamma in (first, second)]

        def change(image: np.ndarray) -> np.ndarray:
            a, b = (cv2.LUT(image, np.rint(curve).astype(np.uint8)) for curve in curves)
            return cv2.blendLinear(a, b, field, 1 - field)

        return _each(pair, change)

    def _turn(self, pair: Pair, face: np.ndarray, draw: np.random.Generator) -> Pair:
        angle = float(draw.uniform(-self.rotation_degrees, self.rotation_degrees))
        matrix = cv2.getRotationMatrix2D(tuple(face.mean(0).tolist()), angle, 1.0)
        real, fake = (_turned(example, matrix) for example in pair)
        return real, fake


def harmonic_light(
    shape: tuple[int, int], face: np.ndarray, draw: np.random.Generator, *, strength: float
) -> np.ndarray:
    """Light on an ellipsoid in the place of a face, and on what is around it.

    A sum of the real spherical harmonics of degrees 1 and 2 of the surface's direction, whose
    coefficients are drawn; those of degree 2 are half as large, as a matt surface reflects them
    (Basri and Jacobs, 2003, have 3/8). Beyond the ellipsoid's outline it is as on the outline.

    Args:
      shape: height and width of the image.
      face: [2, 2], its box.
      draw: of the coefficients.
      strength: standard deviation over the face, where the mean is 1; at least 0.2 everywhere.

    Returns:
      float32 [H, W].
    """
    x, y, inside = _place_on(shape, face, (1.1, 1.1))
    radius = np.hypot(x, y)
    outwards = np.maximum(radius, 1.0)
    x, y = x / outwards, y / outwards
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    first = np.stack([x, y, z])
    second = np.stack([x * y, y * z, x * z, (x * x - y * y) / 2, (3 * z * z - 1) / np.sqrt(12)])
    weights = draw.standard_normal(8)
    field = np.tensordot(weights[:3], first, 1) + 0.5 * np.sqrt(3) * np.tensordot(
        weights[3:], second, 1
    )
    seen = field[inside] if inside.any() else field
    light = 1 + strength * (field - seen.mean()) / max(float(seen.std()), 1e-6)
    return _grown(np.maximum(light, 0.2), shape)


def _background(pair: Pair, face: np.ndarray, draw: np.random.Generator) -> Pair:
    shape = pair[0].image.shape[:2]
    x, y, _ = _place_on(shape, face, _HEAD)
    ramp = float(draw.uniform(0.15, 0.5))
    weight = _grown(np.clip((np.hypot(x, y) - 1) / ramp, 0, 1), shape).clip(0, 1)
    side = float(np.ptp(face, axis=0).max())
    sigma = max(float(draw.uniform(*_BLURS)) / 100 * side, 0.5)
    quarter = (-(-shape[1] // 4), -(-shape[0] // 4))  # a wide blur costs a tenth there
    tables = np.arange(256)[:, None] * np.exp(draw.normal(0, 0.2, 3) + draw.normal(0, 0.3))
    table = np.clip(np.rint(tables), 0, 255).astype(np.uint8)[None]

    def change(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, quarter, interpolation=cv2.INTER_AREA)
        grown = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), shape[::-1])
        blurred = cv2.LUT(grown, table)
        mixed = cv2.blendLinear(blurred, image, weight, 1 - weight)
        return np.where(weight[..., None] > 0, mixed, image)

    return _each(pair, change)


def _occluded(pair: Pair, face: np.ndarray, draw: np.random.Generator, sizes: Range) -> Pair:
    """A bar or a blob of some colour, or of a part of the image, over both of a pair.

    It stays away where it would hide more than half of what is forged: a fake is to be one.
    """
    real, fake = pair
    height, width = real.image.shape[:2]
    side = float(np.ptp(face, axis=0).max())
    centre = face.mean(0) + draw.uniform(-0.6, 0.6, 2) * side
    length = float(draw.uniform(*sizes)) * side
    breadth = length * float(draw.choice([draw.uniform(0.08, 0.2), draw.uniform(0.4, 1.0)]))
    angle = float(draw.uniform(0, 180))
    cover = np.zeros((height, width), np.uint8)
    extent = (centre.tolist(), (length, breadth), angle)
    if draw.random() < 0.5:
        cv2.ellipse(cover, extent, 255, -1)
    else:
        cv2.fillConvexPoly(cover, np.rint(cv2.boxPoints(extent)).astype(np.int32), 255)
    edge = float(draw.uniform(0.5, 1.5))
    texture = _texture(real.image, draw)
    left, top, across, down = cv2.boundingRect(cover)
    assert fake.mask is not None  # a pair's masks are there
    hidden = int(fake.mask[cover > 0].astype(np.int64).sum())
    if not across or 2 * hidden > int(fake.mask.astype(np.int64).sum()):
        return pair
    margin = int(np.ceil(3 * edge))
    inside = (
        slice(max(top - margin, 0), top + down + margin),
        slice(max(left - margin, 0), left + across + margin),
    )
    weight = cv2.GaussianBlur(cover[inside], (0, 0), edge).astype(np.float32) / np.float32(255)

    def change(example: Example) -> Example:
        image = example.image.copy()
        image[inside] = cv2.blendLinear(texture[inside], image[inside], weight, 1 - weight)
        assert example.mask is not None
        mask = example.mask.copy()
        mask[inside] = np.ceil(mask[inside] * (1 - weight)).astype(np.uint8)
        return dataclasses.replace(example, image=image, mask=mask)

    return change(real), change(fake)


def _texture(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """uint8 RGB [H, W, 3]: one colour with shades, or the image upside down in other colours."""
    height, width = image.shape[:2]
    colour = draw.uniform(0, 255) + draw.normal(0, 40, 3)  # few things are of one pure colour
    shades = draw.normal(0, 20, (5, 5)).astype(np.float32)
    tint = draw.uniform(-40, 40, 3)
    if draw.random() < 0.5:
        smooth = cv2.resize(shades, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.clip(smooth[..., None] + colour, 0, 255).astype(np.uint8)
    tables = np.clip(np.arange(256)[:, None] + tint, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.flip(image, 0), tables[None]))


def _turned(example: Example, matrix: np.ndarray) -> Example:
    """Turned by a matrix [2, 3]; the box stays, since the face turns about its centre."""
    size = example.image.shape[1::-1]
    turned = example.with_points(lambda points: points @ matrix[:, :2].T + matrix[:, 2])
    assert example.mask is not None
    return dataclasses.replace(
        turned,
        image=cv2.warpAffine(
            example.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        ),
        mask=cv2.warpAffine(
            example.mask, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
        ),
        box=example.box,
    )


def _each(pair: Pair, change: Callable[[np.ndarray], np.ndarray]) -> Pair:
    real, fake = (dataclasses.replace(e, image=np.asarray(change(e.image))) for e in pair)
    return real, fake


def _place_on(
    shape: tuple[int, int], face: np.ndarray, reach: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of a grid over an image, in half axes of an ellipse around a face.

    Args:
      shape: height and width of the image.
      face: [2, 2], its box.
      reach: half width and half height of the ellipse, in those of the box.

    Returns:
      x and y [_FIELD, _FIELD], and which of them are in the box.
    """
    half = np.maximum(np.ptp(face, axis=0) / 2, 1.0)
    steps = (np.arange(_FIELD) + 0.5) / _FIELD
    x, y = np.meshgrid(steps * shape[1] - 0.5, steps * shape[0] - 0.5)
    x, y = (x - face[:, 0].mean()) / half[0], (y - face[:, 1].mean()) / half[1]
    return x / reach[0], y / reach[1], (np.abs(x) <= 1) & (np.abs(y) <= 1)


def _grown(field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A grid's values at each pixel: float32 [H, W]."""
    small = field.astype(np.float32)
    return np.asarray(cv2.resize(small, shape[::-1], interpolation=cv2.INTER_LINEAR))
