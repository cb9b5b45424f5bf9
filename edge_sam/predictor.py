"""Promptable segmentation: encode a photograph once, then ask as often as you like."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.bundle import Bundle
from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError
from edge_sam.geometry import FRAME, Geometry
from edge_sam.images import read_image
from edge_sam.model import LoadedModel, Model
from edge_sam.preprocess import check_image, encoder_input
from edge_sam.profiles import MAX_PROMPTS
from edge_sam.prompts import Prompt, decoder_points
from edge_sam.region import Region, valid_region
from edge_sam.result import Result
from edge_sam.runtimes import Tensors
from edge_sam.timing import elapsed_ms, stage

_BATCH = 2
"""Prompts in one call of the decoder: more gains next to nothing on a CPU and costs about 60 MB each."""
_OUTSIDE = np.float32(-32)
"""Logit of what `valid_mask` forbids: background beyond doubt (0 is the threshold)."""


class Predictor:
    """A loaded model. Safe to share between threads: it keeps no state between calls.

    Parameters
    ----------
    model : Model
        A bundle's components, loaded.

    Attributes
    ----------
    model : Model
        As above.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def bundle(self) -> Bundle:
        """Where the model comes from."""
        return self.model.bundle

    @property
    def runtime(self) -> str:
        """Name of the backend in use; another one after a fallback."""
        return self.model.active.choice.runtime

    @property
    def precision(self) -> str:
        """Precision of the weights in use."""
        return self.model.active.choice.precision

    @property
    def provider(self) -> str:
        """The provider that really runs, as the backend names it."""
        return self.model.active.decoder.provider

    def encode(
        self, image: NDArray[np.uint8] | str | Path, *, long_side: int = FRAME, square: bool = False
    ) -> ImageEmbedding:
        """Run the image encoder, once for a photograph.

        Only the photograph's own tokens are encoded; the rest of the frame is filled with the stored embedding
        of padding. That costs 0.55 of the square for a 16:9 photograph.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3), or str or Path
            RGB, or a file (``"-"``: standard input).
        long_side : int
            Pixels that the longer side is scaled to: a multiple of 16 up to 1024. Less is faster and less
            accurate.
        square : bool
            Encode the padded square, as the reference implementation does.

        Returns
        -------
        ImageEmbedding

        Raises
        ------
        InputError
            The image cannot be read, or is not what is asked for, or the long side is impossible.
        """
        timings: dict[str, float] = {}
        manifest = self.bundle.manifest
        if isinstance(image, str | Path):
            with stage(timings, "read"):
                image = read_image(image)
        with stage(timings, "preprocess"):
            image = check_image(image)
            geometry = Geometry((image.shape[0], image.shape[1]), long_side, square)
            tensor = encoder_input(image, geometry, manifest.pixel_mean, manifest.pixel_std)
        with stage(timings, "encode"):
            model, outputs = self.model.attempt(lambda model: model.encoder.run({"image": tensor}))
            encoded, features = outputs["image_embedding"][0], model.padding.copy()
            features[: encoded.shape[0], : encoded.shape[1]] = encoded
        return ImageEmbedding(features, geometry, manifest.source.sha256, model.choice.precision, timings)

    @overload
    def predict(
        self, embedding: ImageEmbedding, prompts: Prompt, *, multimask: bool = ..., valid_mask: ArrayLike | None = ...
    ) -> Result: ...

    @overload
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = ...,
        valid_mask: ArrayLike | None = ...,
    ) -> list[Result]: ...

    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Prompt | Sequence[Prompt],
        *,
        multimask: bool = True,
        valid_mask: ArrayLike | None = None,
    ) -> Result | list[Result]:
        """Answer one prompt, or several independent ones at once.

        Parameters
        ----------
        embedding : ImageEmbedding
            From `encode` of a predictor with the same weights and precision.
        prompts : Prompt or sequence of Prompt
            What to segment.
        multimask : bool
            True: three masks for each prompt, for when it is ambiguous. False: one mask, better where the prompt
            is clear (a box, several points).
        valid_mask : array_like of bool or integer, (height, width), optional
            Region of interest at the photograph's size, not 0 inside. Nothing outside it is ever returned.

        Returns
        -------
        Result or list of Result
            A `Result` for a `Prompt`, a list in the same order for a sequence. Prompts given together get the same
            answers as one by one, to rounding: logits differ by about 1e-4.

        Raises
        ------
        InputError
            The embedding belongs to another model or precision, a prompt does not fit the photograph, or
            `valid_mask` has the wrong shape or type.
        """
        self._check(embedding)
        if not isinstance(prompts, Prompt | Sequence):
            raise InputError(f"expected an edge_sam.Prompt or a sequence of them, got {type(prompts).__name__}")
        several = [prompts] if isinstance(prompts, Prompt) else list(prompts)
        for prompt in several:
            if not isinstance(prompt, Prompt):
                raise InputError(f"expected an edge_sam.Prompt, got {type(prompt).__name__}")
        region = valid_region(valid_mask, embedding.geometry)
        results: list[Result | None] = [None] * len(several)
        with_mask = [i for i, prompt in enumerate(several) if prompt.mask is not None]
        without = [i for i, prompt in enumerate(several) if prompt.mask is None]
        for group in (with_mask, without):
            for first in range(0, len(group), _BATCH):
                chosen = group[first : first + _BATCH]
                answers = self._answer(embedding, [several[i] for i in chosen], multimask, region)
                for i, answer in zip(chosen, answers, strict=True):
                    results[i] = answer
        answered = [result for result in results if result is not None]
        return answered[0] if isinstance(prompts, Prompt) else answered

    def decode(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompt]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the prompt encoder and the mask decoder, and nothing after them: `predict` without its masks.

        Parameters
        ----------
        embedding : ImageEmbedding
            From `encode` of a predictor with the same weights and precision; it is not checked again here.
        prompts : sequence of Prompt
            One or more: all with a mask or all without. Up to `profiles.MAX_PROMPTS` go into one call.

        Returns
        -------
        logits : ndarray of float32, (N, 4, 256, 256)
            Low-res logits: the single mask, then the three of an ambiguous prompt.
        scores : ndarray of float32, (N, 4)
            Predicted IoU of each.
        """
        parts = [
            self._decode(embedding, prompts[first : first + MAX_PROMPTS])[1:]
            for first in range(0, len(prompts), MAX_PROMPTS)
        ]
        logits, scores = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(scores)

    def _decode(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompt]
    ) -> tuple[str, NDArray[np.float32], NDArray[np.float32]]:
        """Call the decoder once; the provider that ran comes before what `decode` returns."""
        coords, labels = decoder_points(prompts, embedding.geometry)
        masks = [prompt.mask for prompt in prompts if prompt.mask is not None]
        inputs = {
            "point_coords": coords,
            "point_labels": labels,
            "token_size": np.array(embedding.geometry.token_size, np.int64),
        }

        def run(model: LoadedModel) -> Tensors:
            if masks:
                encoded = {"image_embedding": embedding.features[None], "mask": np.stack(masks)}
                image_tokens = model.mask_encoder.run(encoded)["image_tokens"]
            else:
                image_tokens = embedding.image_tokens(model.no_mask, model.decoder)
            return model.decoder.run({"image_tokens": image_tokens, **inputs})

        model, outputs = self.model.attempt(run)
        logits = embedding.geometry.whole_frame(outputs["low_res_logits"])
        return model.decoder.provider, logits, outputs["predicted_iou"]

    def _answer(
        self,
        embedding: ImageEmbedding,
        prompts: list[Prompt],
        multimask: bool,
        region: Region | None,
    ) -> list[Result]:
        """Answer prompts that all have a mask or all have none, in one call of the decoder."""
        start = time.perf_counter()
        provider, logits, scores = self._decode(embedding, prompts)
        decode = elapsed_ms(start)
        chosen = slice(1, 4) if multimask else slice(0, 1)
        return [
            self._result(embedding.geometry, *answer, region, decode, provider)
            for answer in zip(logits[:, chosen], scores[:, chosen], strict=True)
        ]

    def _result(
        self,
        geometry: Geometry,
        logits: NDArray[np.float32],
        scores: NDArray[np.float32],
        region: Region | None,
        decode: float,
        provider: str,
    ) -> Result:
        start = time.perf_counter()
        order = np.argsort(-scores, kind="stable")
        logits, scores = logits[order], scores[order]
        masks = np.stack([geometry.upsample(plane) > 0 for plane in logits])
        if region is not None:
            masks &= region.pixels
            logits = np.where(region.cells, logits, np.minimum(logits, _OUTSIDE))
        return Result(masks, scores, logits, provider, {"decode": decode, "upsample": elapsed_ms(start)})

    def _check(self, embedding: ImageEmbedding) -> None:
        if not isinstance(embedding, ImageEmbedding):
            raise InputError(f"expected an edge_sam.ImageEmbedding, got {type(embedding).__name__}")
        for what, theirs, ours in (
            ("model", embedding.model, self.bundle.manifest.source.sha256),
            ("precision", embedding.precision, self.precision),
        ):
            if theirs != ours:
                raise InputError(
                    f"the embedding was made with another {what} ({theirs[:12]}, this predictor has {ours[:12]});"
                    " encode the image again"
                )
