"""How a matcher wants its pictures: size, frame and normalisation, read from the files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_sam.errors import InputError
from edge_sam.files.serialization import decode_json

Colours = tuple[float, float, float]
IMAGENET: tuple[Colours, Colours] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of R, G, B from 0 to 1."""
PIXEL_CONFIGS = ("preprocessor_config.json", "preprocess_cfg.json", "open_clip_config.json")
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


@dataclass(frozen=True)
class PixelFormat:
    """How a graph wants the pixels.

    Attributes
    ----------
    mean, std : tuple of float
        Normalisation of R, G, B, after the values are multiplied by `rescale`.
    rescale : float
        Factor for values from 0 to 255.
    resample : Image.Resampling
        Filter for resizing.
    size : mapping of str to int
        Size as the file has it: ``height`` and ``width``, or ``shortest_edge`` and ``longest_edge``.
    padded : bool
        Whether the photograph keeps its aspect in the top left of a square.
    """

    mean: Colours
    std: Colours
    rescale: float = 1 / 255
    resample: Image.Resampling = Image.Resampling.BICUBIC
    size: dict[str, int] = field(default_factory=dict)
    padded: bool = False

    def tensor(self, image: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (3, H, W) normalised, from (H, W, 3) with values from 0 to 255."""
        scaled = image.astype(np.float32) * np.float32(self.rescale)
        normal = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))

    def resized(self, image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Resize an RGB image to (height, width)."""
        if image.shape[:2] == size:
            return image
        return np.asarray(Image.fromarray(image).resize(size[::-1], self.resample))


class _OpenClip(msgspec.Struct):
    """`preprocess_cfg` of open_clip."""

    mean: Colours | None = None
    std: Colours | None = None
    size: Any = None
    interpolation: str = "bicubic"


class _Config(_OpenClip):
    """The fields of the files of `PIXEL_CONFIGS` that are used."""

    image_mean: Colours | None = None
    image_std: Colours | None = None
    rescale_factor: float = 1 / 255
    do_rescale: bool | None = None
    do_normalize: bool | None = None
    do_pad: bool | None = None
    resample: int | None = None
    image_processor_type: str | None = None
    preprocess_cfg: _OpenClip | None = None


def read_pixel_format(folders: Sequence[Path], usual: PixelFormat | None = None) -> tuple[PixelFormat, Path | None]:
    """Read the first file of `PIXEL_CONFIGS` in some folders.

    Parameters
    ----------
    folders : sequence of Path
        Where to look.
    usual : PixelFormat, optional
        What is right without such a file.

    Returns
    -------
    PixelFormat
    Path or None
        The file.

    Raises
    ------
    InputError
        There is no such file and nothing is usual, or the file is damaged.
    """
    for folder in folders:
        for name in PIXEL_CONFIGS:
            path = folder / name
            if path.is_file():
                return _parse(path), path
    if usual is None:
        raise InputError(
            f"the normalisation of the pictures is unknown; put the model's preprocessor_config.json into {folders[0]}"
        )
    return usual, None


def _parse(path: Path) -> PixelFormat:
    try:
        config: _Config = decode_json(path.read_bytes(), _Config)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if config.image_mean is None and config.image_std is None:
        inner = config.preprocess_cfg or config
        if inner.mean is None or inner.std is None:
            if config.do_normalize is not False:
                raise InputError(f"{path} names no mean and deviation of the colours")
            inner.mean, inner.std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        resample = _RESAMPLING.get(inner.interpolation, Image.Resampling.BICUBIC)
        return PixelFormat(inner.mean, inner.std, resample=resample, size=_size(inner.size))
    if config.image_mean is None or config.image_std is None:
        raise InputError(f"{path} names only one of mean and deviation of the colours")
    if min(config.image_std) <= 0:
        raise InputError(f"{path} has a deviation that is not above 0")
    found = PixelFormat(config.image_mean, config.image_std, config.rescale_factor, size=_size(config.size))
    if config.do_normalize is False:
        found = replace(found, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    if config.do_rescale is False:
        found = replace(found, rescale=1.0)
    if config.resample is not None:
        found = replace(found, resample=Image.Resampling(config.resample))
    padded = bool(config.do_pad) or (config.do_pad is None and "Owlv2" in (config.image_processor_type or ""))
    return replace(found, padded=padded)


def _size(given: Any) -> dict[str, int]:
    """Return a size by name, of the many forms that files have."""
    if isinstance(given, int):
        return {"shortest_edge": given}
    if isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(side, int) for side in given):
        return {"height": given[0], "width": given[1]}
    if isinstance(given, dict):
        return {name: side for name, side in given.items() if isinstance(side, int)}
    return {}
