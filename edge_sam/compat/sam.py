"""`SamPredictor`, as in segment-anything and MobileSAM."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.compat.image_predictor import ImagePredictor, make_prompts
from edge_sam.compat.registry import Sam
from edge_sam.compat.transforms import ResizeLongestSide, as_array, like
from edge_sam.errors import InputError
from edge_sam.imaging.preprocess import check_image
from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor


class SamPredictor(ImagePredictor):
    """Answers prompts on one image, with the reference's methods.

    Parameters
    ----------
    model : Predictor or Sam
        From `edge_sam.load` or `sam_model_registry`.
    long_side, square
        See `Predictor.encode`. By default, the image is encoded as the reference does: a square. With
        ``square=False`` that takes 0.55 of the time for a 16:9 image.

    Attributes
    ----------
    model : Sam
        The model.
    transform : ResizeLongestSide
        Converts coordinates for `predict_torch`.

    Raises
    ------
    InputError
        The model is something else, or the long side is invalid.
    """

    def __init__(self, model: Predictor | Sam, *, long_side: int = View.long_side, square: bool | None = True) -> None:
        super().__init__(model, long_side=long_side, square=square)
        self.transform = ResizeLongestSide(self._view, self._contract.fit)

    @property
    def is_image_set(self) -> bool:
        """Whether `set_image` was called."""
        return self._embedding is not None

    @property
    def original_size(self) -> tuple[int, int]:
        """(height, width) of the image in pixels. Raises `ImageNotSetError`."""
        return self.embedding.geometry.image_size

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the image in the model's frame, without padding. Raises `ImageNotSetError`."""
        return self.embedding.geometry.scaled_size

    @property
    def features(self) -> NDArray[np.float32] | None:
        """The image embedding, (1, 256, 64, 64); None without an image."""
        return self.get_image_embedding() if self.is_image_set else None

    def set_image(self, image: NDArray[np.uint8], image_format: Literal["RGB", "BGR"] = "RGB") -> None:
        """Encode an image.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            The image.
        image_format : str
            Order of its channels, ``"RGB"`` or ``"BGR"``.

        Raises
        ------
        InputError
            The image is not uint8 with three channels, or the format is unknown.
        """
        if image_format not in ("RGB", "BGR"):
            raise InputError(f"image_format is {image_format!r}; it must be 'RGB' or 'BGR'")
        self._encode(check_image(image)[..., :: 1 if image_format == "RGB" else -1])

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Answer one prompt.

        Parameters
        ----------
        point_coords : array_like, (K, 2), optional
            XY in pixels of the image.
        point_labels : array_like, (K,), optional
            1 for a point on the object, 0 for a point off it.
        box : array_like, (4,) or (1, 4), optional
            XYXY in pixels of the image.
        mask_input : array_like, (1, 256, 256), optional
            Low-res logits of an earlier answer.
        multimask_output : bool
            True: three masks in the order of the decoder's tokens, not best first. False: token 0's mask.
        return_logits : bool
            Return logits in place of masks.

        Returns
        -------
        masks : ndarray of bool or float32, (C, height, width)
        scores : ndarray of float32, (C,)
            Predicted IoU.
        low_res_logits : ndarray of float32, (C, 256, 256)

        Raises
        ------
        ImageNotSetError
            `set_image` was not called.
        InputError
            The prompt is empty, has a wrong shape, or lies outside the image.
        """
        if box is not None and np.shape(box) == (1, 4):
            box = np.reshape(box, 4)
        given = (point_coords, point_labels, box, mask_input)
        prompts = make_prompts(*(None if values is None else np.asarray(values)[None] for values in given))
        found = self._ask(prompts, multimask=multimask_output, logits=return_logits)
        return found.pixels[0], found.scores[0], found.low_res_logits[0]

    def predict_torch(
        self,
        point_coords: Any | None = None,
        point_labels: Any | None = None,
        boxes: Any | None = None,
        mask_input: Any | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Any, Any, Any]:
        """Answer B prompts. Coordinates are in the model's frame: convert them with `transform`.

        Parameters
        ----------
        point_coords : array or tensor, (B, K, 2), optional
            XY in pixels of the frame.
        point_labels : array or tensor, (B, K), optional
            See `predict`.
        boxes : array or tensor, (B, 4), optional
            XYXY in pixels of the frame.
        mask_input : array or tensor, (B, 1, 256, 256), optional
            See `predict`.
        multimask_output, return_logits
            See `predict`.

        Returns
        -------
        masks : (B, C, height, width) bool or float32
        scores : (B, C) float32
        low_res_logits : (B, C, 256, 256) float32
            Tensors of torch if one of the arguments is a tensor, else arrays.

        Raises
        ------
        ImageNotSetError, InputError
            See `predict`.
        """
        given = (point_coords, point_labels, boxes, mask_input)
        points, labels, corners, masks = (None if values is None else as_array(values) for values in given)
        from_frame = self.embedding.geometry.from_frame
        for name, array, numbers in (("point_coords", points, 2), ("boxes", corners, 4)):
            if array is not None and array.shape[-1:] != (numbers,):
                raise InputError(f"{name} have shape {array.shape}; expected {numbers} numbers on the last axis")
        if points is not None:
            points = from_frame(points)
        if corners is not None:
            corners = from_frame(corners.reshape(-1, 2, 2)).reshape(-1, 4)
        prompts = make_prompts(points, labels, corners, masks)
        found = self._ask(prompts, multimask=multimask_output, logits=return_logits)
        return like(found.pixels, *given), like(found.scores, *given), like(found.low_res_logits, *given)
