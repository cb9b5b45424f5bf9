"""`SAM2ImagePredictor`, as in SAM 2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from edge_sam.compat.image_predictor import ImagePredictor, make_prompts


class SAM2ImagePredictor(ImagePredictor):
    """Answers prompts on one image, with the methods of SAM 2's predictor. See `ImagePredictor` for its parameters."""

    def set_image(self, image: NDArray[np.uint8] | Image.Image) -> None:
        """Encode an image.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3), or PIL.Image.Image
            RGB.

        Raises
        ------
        InputError
            The image is not uint8 RGB.
        """
        self._encode(np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image)

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Answer one prompt, or B prompts.

        Parameters
        ----------
        point_coords : array_like, (K, 2) or (B, K, 2), optional
            XY.
        point_labels : array_like, (K,) or (B, K), optional
            1 for a point on the object, 0 for a point off it.
        box : array_like, (4,) or (B, 4), optional
            XYXY.
        mask_input : array_like, (1, 256, 256) or (B, 1, 256, 256), optional
            Low-res logits of an earlier answer.
        multimask_output : bool
            True: three masks in the order of the decoder's tokens, not best first. False: token 0's mask.
        return_logits : bool
            Return logits in place of masks.
        normalize_coords : bool
            True: coordinates are in pixels of the image. False: they are fractions of its width and height.

        Returns
        -------
        masks : ndarray of float32, (C, height, width) or (B, C, height, width)
            1 on the object, 0 off it; or logits.
        scores : ndarray of float32, (C,) or (B, C)
            Predicted IoU.
        low_res_logits : ndarray of float32, (C, 256, 256) or (B, C, 256, 256)
            SAM 2's are clipped to ±32.

        Raises
        ------
        ImageNotSetError
            `set_image` was not called.
        InputError
            The prompt is empty, has a wrong shape, or lies outside the image.
        """
        height, width = self.embedding.geometry.image_size
        points = None if point_coords is None else _batch(point_coords, 3)
        labels = None if point_labels is None else _batch(point_labels, 2)
        boxes = None if box is None else _batch(box, 2)
        masks = None if mask_input is None else _batch(mask_input, 4)
        if not normalize_coords:
            points = None if points is None else points * (width, height)
            boxes = None if boxes is None else boxes * (width, height, width, height)
        prompts = make_prompts(points, labels, boxes, masks)
        found = self._ask(prompts, multimask=multimask_output, logits=return_logits)
        which = slice(None) if len(prompts) > 1 else 0
        return found.pixels.astype(np.float32)[which], found.scores[which], found.low_res_logits[which]

    def reset_predictor(self) -> None:
        """Forget the image."""
        self.reset_image()


def _batch(values: ArrayLike, dimensions: int) -> NDArray[Any]:
    """Return B prompts' values, from one prompt's or from B prompts'."""
    array = np.asarray(values)
    return array[None] if array.ndim == dimensions - 1 else array
