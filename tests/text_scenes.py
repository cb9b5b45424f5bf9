"""Drawn scenes with words for every object: what the models of the tests are trained on and asked about."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

COLOURS = {"red": (205, 45, 40), "green": (40, 150, 60), "blue": (45, 75, 200), "yellow": (235, 205, 45)}
SHAPES = ("circle", "square", "triangle")
SIZES = {"small": (27, 31), "large": (42, 50)}
"""Least and greatest radius in pixels."""
ASPECTS = ((240, 320), (320, 240), (300, 300))
"""(height, width) of scenes. Not all are square, so that a wrong frame of the boxes is seen."""
KINDS = [(size, colour, shape) for size in SIZES for colour in COLOURS for shape in SHAPES]
"""Every object that there is."""
PLAIN = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]
"""Phrases without a size."""
PHRASES = [*PLAIN, *(f"a {' '.join(kind)}" for kind in KINDS)]
"""Every phrase that is asked."""


@dataclass(frozen=True)
class Object:
    """A drawn object: its words and its mask, (height, width) of bool."""

    kind: tuple[str, str, str]
    mask: NDArray[np.bool_]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """XYXY in pixels."""
        x, y, width, height = cv2.boundingRect(self.mask.view(np.uint8))
        return x, y, x + width, y + height


@dataclass(frozen=True)
class Scene:
    """A picture, (height, width, 3) RGB, and its objects, which do not touch."""

    image: NDArray[np.uint8]
    objects: list[Object]

    def meant(self, phrase: str) -> list[Object]:
        """The objects that a phrase is true of."""
        return [each for each in self.objects if fits(phrase, each.kind)]


def fits(phrase: str, kind: tuple[str, str, str]) -> bool:
    """Whether a phrase of `PHRASES` is true of a kind of object."""
    return set(phrase.split()[1:]) <= set(kind)


def draw_scene(random: np.random.Generator, scale: float = 1.0, most: int = 4) -> Scene:
    """Draw two to `most` objects of different kinds on a coloured wall, all sizes scaled."""
    height, width = (round(side * scale) for side in ASPECTS[random.integers(len(ASPECTS))])
    coarse = random.integers(95, 165, (12, 16, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    objects: list[Object] = []
    placed: list[tuple[float, float, float]] = []
    for number in random.permutation(len(KINDS))[: random.integers(2, most + 1)]:
        kind = KINDS[number]
        radius = scale * float(random.uniform(*SIZES[kind[0]]))
        for _ in range(30):
            x, y = (float(random.uniform(radius + 2, side - radius - 2)) for side in (width, height))
            if all(np.hypot(x - u, y - v) > radius + other + 8 * scale for u, v, other in placed):
                placed.append((x, y, radius))
                mask = _shape(kind[2], x, y, radius, (height, width), random)
                objects.append(Object(kind, mask))
                light = np.linspace(1.1, 0.85, height, dtype=np.float32)[:, None, None]
                colour = np.array(COLOURS[kind[1]], np.float32) + random.normal(0, 8, 3).astype(np.float32)
                picture[mask] = np.broadcast_to(light * colour, picture.shape)[mask]
                break
    picture += random.integers(-4, 5, picture.shape, np.int8)
    return Scene(np.rint(picture).clip(0, 255).astype(np.uint8), objects)


def _shape(
    name: str, x: float, y: float, radius: float, size: tuple[int, int], random: np.random.Generator
) -> NDArray[np.bool_]:
    canvas = np.zeros(size, np.uint8)
    if name == "circle":
        cv2.circle(canvas, (round(x), round(y)), round(radius), 1, cv2.FILLED)
    else:
        count, turn = (4, np.pi / 4) if name == "square" else (3, -np.pi / 2)
        angles = turn + np.arange(count) * 2 * np.pi / count + random.uniform(-0.15, 0.15)
        corners = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    return canvas.astype(np.bool_)
