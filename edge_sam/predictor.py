"""Promptable segmentation: encode a photograph once, then ask as often as you like."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.decoder_call import GoodMasks, answer, good_masks
from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.images import read_image
from edge_sam.imaging.preprocess import check_image, encoder_input
from edge_sam.imaging.region import check_region
from edge_sam.imaging.view import View
from edge_sam.inference.choice import Choice
from edge_sam.inference.facts import Facts
from edge_sam.inference.feature_maps import frame_features
from edge_sam.inference.model import Model
from edge_sam.preference import Preference, check_preference
from edge_sam.prompts import Prompt, check_prompts, decoder_calls
from edge_sam.result import Answer, Result, to_answers, to_result
from edge_sam.system.timing import stage

_BATCH = 2
"""Prompts in one call of the decoder: more gains next to nothing on a CPU and costs about 60 MB each."""


class Predictor:
    """A loaded model. Safe to share between threads: it keeps no state between calls.

    A pickle or a deep copy of it loads the model again, in the same way: runtime, precision, threads, options and
    strictness. So it may be sent to another process on a machine that has the bundle in the same folder.

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

    def __reduce__(self) -> tuple[object, ...]:
        return _load_again, (type(self), *self.model.recipe)

    def __copy__(self) -> Predictor:
        return type(self)(self.model)

    @property
    def bundle(self) -> Bundle:
        """Where the model comes from."""
        return self.model.bundle

    @property
    def facts(self) -> Facts:
        """What answers: the model and how it runs, for reports."""
        return self.model.facts

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
        self,
        image: NDArray[np.uint8] | str | Path,
        *,
        long_side: int = View.long_side,
        square: bool | None = View.square,
    ) -> ImageEmbedding:
        """Run the image encoder, once for a photograph.

        Unless a square is wanted, only the photograph's own tokens are encoded. For families that pad, the rest of the
        frame is filled with the stored embedding of padding. That costs 0.55 of the square for a 16:9 photograph.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3), or str or Path
            RGB, or a file (``"-"``: standard input).
        long_side : int
            Pixels that the longer side is scaled to: a multiple of 16 (some families: of 32 or 64) up to 1024. Less is
            faster and less accurate.
        square : bool, optional
            Encode a square, as the reference implementation does: padded, or stretched for families without padding.
            Default: as suits the model.

        Returns
        -------
        ImageEmbedding

        Raises
        ------
        InputError
            The image cannot be read or is not uint8 RGB, or the long side is invalid.
        """
        timings: dict[str, float] = {}
        geometry, tensor = self._encoder_input(image, long_side, square, timings)
        with stage(timings, "encode"):
            model, outputs = self.model.attempt(lambda model: model.encoder.run({"image": tensor}))
            maps = frame_features(outputs, model.padding)
        weights, precision = self.bundle.manifest.source.sha256, model.choice.precision
        return ImageEmbedding(maps.pop("image_embedding"), geometry, weights, precision, timings, high_res=maps)

    def warm_up(
        self,
        image: NDArray[np.uint8] | str | Path,
        *,
        long_side: int = View.long_side,
        square: bool | None = View.square,
    ) -> None:
        """Make `encode` as fast for images of this size as it gets in a long run, and return when it is.

        Without this a runtime may compile for a size in the background once that has come several times. Arguments and
        errors are those of `encode`.
        """
        tensor = self._encoder_input(image, long_side, square, {})[1]
        self.model.attempt(lambda model: model.encoder.warm_up({"image": tensor}))

    def release_memory(self) -> None:
        """Give back the memory that `encode` leaves reserved for the next image, about 240 MB for the padded square.

        Worth it when no image follows soon. The next `encode` reserves it again, which takes a little longer.
        """
        self.model.attempt(lambda model: model.encoder.release_memory())

    def _encoder_input(
        self, image: NDArray[np.uint8] | str | Path, long_side: int, square: bool | None, timings: dict[str, float]
    ) -> tuple[Geometry, NDArray[np.float32]]:
        manifest, contract = self.bundle.manifest, self.bundle.contract
        if isinstance(image, str | Path):
            with stage(timings, "read"):
                image = read_image(image)
        with stage(timings, "preprocess"):
            image = check_image(image)
            long_side, square = contract.requested_view(long_side, square)
            geometry = Geometry((image.shape[0], image.shape[1]), long_side=long_side, square=square, fit=contract.fit)
            return geometry, encoder_input(image, geometry, manifest.pixel_mean, manifest.pixel_std)

    @overload
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Prompt,
        *,
        multimask: bool = ...,
        valid_mask: ArrayLike | None = ...,
        prefer: Preference = ...,
    ) -> Result: ...

    @overload
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = ...,
        valid_mask: ArrayLike | None = ...,
        prefer: Preference = ...,
    ) -> list[Result]: ...

    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Prompt | Sequence[Prompt],
        *,
        multimask: bool = True,
        valid_mask: ArrayLike | None = None,
        prefer: Preference = "auto",
    ) -> Result | list[Result]:
        """Answer one prompt, or several independent ones at once.

        Each `Result` holds its masks at the photograph's size, one byte a pixel, and 0.26 MB of logits for each: with
        three masks a prompt takes 1.5 MB on 600×400 pixels and 37 MB on 12 megapixels. Ask thousands of prompts in
        parts, and keep RLE (`Result.to_rle`).

        Parameters
        ----------
        embedding : ImageEmbedding
            From `encode` of a predictor with the same weights and precision.
        prompts : Prompt or sequence of Prompt
            What to segment.
        multimask : bool
            True: three masks for each prompt, best predicted IoU first; `Result.preferred` says which of them each
            preference takes. False: the one mask that `prefer` takes.
        valid_mask : array_like of bool or integer, (height, width), optional
            Region of interest at the photograph's size, not 0 inside. Nothing outside it is ever returned.
        prefer : str
            Which mask to take where one is wanted. ``"object"``: the largest whose predicted IoU comes close to the
            best. ``"part"``: the smallest of these. ``"best"``: the best predicted IoU. ``"single"``: token 0's mask,
            as in the reference implementation. ``"auto"``: ``"object"`` for points, ``"best"`` for a box, ``"single"``
            for a mask; with one to four points it takes the mask that fits well and resembles the given one.

        Returns
        -------
        Result or list of Result
            A `Result` for a `Prompt`, a list in the same order for a sequence. Prompts given together get the same
            answers as one by one, to rounding: logits differ by about 1e-4.

        Raises
        ------
        InputError
            The embedding belongs to another model or precision, a prompt does not fit the photograph,
            `valid_mask` has the wrong shape or type, or the preference is unknown.
        """
        self.check_embedding(embedding)
        prefer = check_preference(prefer)
        several = check_prompts(prompts)
        pixels = check_region(valid_mask, embedding.geometry.image_size)
        region = None if pixels is None else (pixels, embedding.geometry.cells_touching(pixels))
        limit = self.bundle.contract.logit_limit
        results = [
            to_result(answer, prompt, embedding.geometry, region, multimask=multimask, prefer=prefer, logit_limit=limit)
            for prompt, answer in zip(several, self.answers(embedding, several), strict=True)
        ]
        return results[0] if isinstance(prompts, Prompt) else results

    def answers(self, embedding: ImageEmbedding, prompts: Sequence[Prompt], batch: int = _BATCH) -> Iterator[Answer]:
        """Run the prompt encoder and the mask decoder, and nothing after them: `predict` without its masks.

        Parameters
        ----------
        embedding : ImageEmbedding
            From `encode` of a predictor with the same weights and precision; it is not checked again here.
        prompts : sequence of Prompt
            What to segment.
        batch : int
            Prompts in one call of the decoder at most, up to `profiles.MAX_PROMPTS`; long ones take more calls.

        Yields
        ------
        Answer
            In the order of the prompts.
        """
        for chosen in decoder_calls(prompts, batch):
            yield from self._call(embedding, chosen)

    def good_masks(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompt], least: float, batch: int = _BATCH
    ) -> Iterator[GoodMasks]:
        """Like `answers`, with only those of the three masks of a prompt whose predicted IoU is above `least`.

        Runtimes on the CPU do not compute the others.
        """
        for chosen in decoder_calls(prompts, batch):
            yield from self.model.attempt(partial(good_masks, embedding=embedding, prompts=chosen, least=least))[1]

    def _call(self, embedding: ImageEmbedding, prompts: Sequence[Prompt]) -> list[Answer]:
        start = time.perf_counter()
        model, outputs = self.model.attempt(partial(answer, embedding=embedding, prompts=prompts))
        return to_answers(outputs, embedding.geometry, self.bundle.contract, model.decoder.provider, start)

    def check_embedding(self, embedding: ImageEmbedding) -> None:
        """Raise `InputError` if the embedding was made with another model or in another precision."""
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
        embedding.check_maps(self.bundle.contract)


def _load_again(kind: type[Predictor], folder: Path, choices: list[Choice], strict: bool) -> Predictor:
    return kind(Model(open_bundle(folder), choices, strict))
