"""The model of a server with its photographs and queues, apart from the routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from edge_sam.errors import InputError, TooManyPixelsError, one_line
from edge_sam.everything.generator import MaskGenerator, Update
from edge_sam.everything.search import Found
from edge_sam.everything.settings import EverythingSettings
from edge_sam.imaging.images import decode_image
from edge_sam.imaging.view import View
from edge_sam.inference.shape_ranges import MAX_PROMPTS
from edge_sam.predictor import Predictor
from edge_sam.preference import Preference
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.serve.errors import HttpError, unknown_image
from edge_sam.serve.images import Images, ImageStore, ServedImage, image_id
from edge_sam.serve.metrics import Metrics
from edge_sam.serve.settings import ServeSettings
from edge_sam.serve.work_queue import ByteBudget, WorkQueue
from edge_sam.system.timing import stage
from edge_sam.text import TextSegmenter

_T = TypeVar("_T")


class Segmenter:
    """Answers requests with one model, which all threads share.

    Parameters
    ----------
    predictor : Predictor
    settings : ServeSettings
    view : View
        How photographs are encoded unless a client says otherwise.
    store : ImageStore, optional
        Where photographs and embeddings outlive the server.
    text : TextSegmenter, optional
        What finds words. Without it requests with text are refused.

    Attributes
    ----------
    predictor, settings, view, text
        As above.
    metrics : Metrics
    images : Images
    bodies : ByteBudget
        Memory for bodies of requests.
    encodes, clicks, searches, matches, downloads : WorkQueue
        Apart, so that a click need not wait until an upload is encoded, or words are found.
    """

    def __init__(
        self,
        predictor: Predictor,
        settings: ServeSettings,
        view: View,
        store: ImageStore | None,
        text: TextSegmenter | None = None,
    ) -> None:
        self.predictor, self.settings, self.view, self.text = predictor, settings, view, text
        self.metrics = Metrics()
        self.images = Images(settings.cache_mb * 10**6, store)
        self.bodies = ByteBudget(settings.max_bodies_mb * 10**6)
        self.encodes = WorkQueue("encode", settings.max_encodes, settings.encode_timeout)
        self.clicks = WorkQueue("decode", settings.max_clicks, settings.click_timeout)
        self.searches = WorkQueue("everything", settings.max_searches, settings.search_timeout)
        self.matches = WorkQueue("match", settings.max_matches, settings.match_timeout)
        self.downloads = WorkQueue("download", settings.max_encodes, settings.upload_timeout, settings.max_encodes)
        self._queues = (self.encodes, self.clicks, self.searches, self.matches, self.downloads)
        self.metrics.watch(
            "edge_sam_queue",
            "Requests at work or waiting.",
            "queue",
            lambda: {queue.name: queue.present for queue in self._queues},
        )
        self.metrics.watch(
            "edge_sam_images",
            "Photographs in memory: how many, and their bytes.",
            "what",
            lambda: {"count": len(self.images), "bytes": self.images.bytes},
        )

    def close(self) -> None:
        """Drop the work that waits."""
        for queue in self._queues:
            queue.close()

    async def encode(
        self,
        photograph: bytes,
        *,
        long_side: int | None = None,
        square: bool | None = None,
        request: Request | None = None,
    ) -> tuple[ServedImage, bool]:
        """Encode a photograph, or find it where it was encoded before.

        Parameters
        ----------
        photograph : bytes
            An encoded photograph.
        long_side, square
            See `Predictor.encode`. Default: as the server was told.
        request : Request, optional
            Work that has not begun is dropped when its client goes away.

        Returns
        -------
        image : ServedImage
        cached : bool
            Whether it was known already.

        Raises
        ------
        HttpError
            It is no photograph (415) or too large (413), the queue is full (429), or the time is over (504).
        InputError
            The view is not possible with this model.
        """
        view = self.predictor.bundle.contract.view(
            self.view.long_side if long_side is None else long_side, self.view.square if square is None else square
        )
        facts = self.predictor.facts
        id = await asyncio.to_thread(image_id, photograph, facts.weights, facts.precision, view)
        found = await self._look_up(id)
        if found is not None:
            return found, True

        def work() -> tuple[ServedImage, bool]:
            known = self.images.find(id)  # Another client may have sent the same.
            return (self._encode(id, photograph, view), False) if known is None else (known, True)

        with self.encodes.admit(request) as place:
            return await place.run(work)

    async def find(self, id: str) -> ServedImage:
        """Return an image by its id. Raises `HttpError` (404) if it is not there."""
        found = await self._look_up(id)
        if found is None:
            raise unknown_image(id)
        return found

    async def predict(
        self,
        image: ServedImage,
        prompts: Sequence[Prompt],
        convert: Callable[[Result], _T],
        *,
        multimask: bool = True,
        prefer: Preference = "auto",
        request: Request | None = None,
    ) -> tuple[list[_T], dict[str, float]]:
        """Answer prompts, one after the other, so that those of other clients come in between.

        Parameters
        ----------
        image : ServedImage
        prompts : sequence of Prompt
        convert : callable
            Makes of each result what to keep. It runs in the queue's thread.
        multimask, prefer
            See `Predictor.predict`.
        request : Request, optional
            Work that has not begun is dropped when its client goes away.

        Returns
        -------
        converted : list
        timings : dict of str to float
            Milliseconds by stage, all prompts together.

        Raises
        ------
        HttpError
            Too many prompts (413), the queue is full (429), or the time is over (504).
        InputError
            A prompt does not fit the photograph.
        """
        if len(prompts) > self.settings.max_prompts:
            message = f"{len(prompts)} prompts in one request; send at most {self.settings.max_prompts}"
            raise HttpError(413, "too_many_prompts", message)
        timings: dict[str, float] = {}

        def work(prompt: Prompt) -> _T:
            result = self.predictor.predict(image.embedding, prompt, multimask=multimask, prefer=prefer)
            taken = dict(result.timings)
            with stage(taken, "format"):
                converted = convert(result)
            self.metrics.observe(taken)
            for name, milliseconds in taken.items():
                timings[name] = timings.get(name, 0.0) + milliseconds
            return converted

        with self.clicks.admit(request) as place:
            return [await place.run(partial(work, prompt)) for prompt in prompts], timings

    async def search(
        self, image: ServedImage, settings: EverythingSettings, request: Request | None = None
    ) -> AsyncGenerator[tuple[Found, Update], None]:
        """Find all masks of a photograph; see `MaskGenerator.stream`. Masks are COCO RLE.

        The photograph is encoded in the view of `settings` once, as `encode` does it. Crops are encoded each time. The
        search ends when the client of `request` goes away.

        Raises
        ------
        HttpError
            Other searches are at work or the queue of uploads is full (429), or the time is over (504).
        InputError
            A setting is impossible, or takes too much memory for a server.
        """
        if settings.points_per_batch > MAX_PROMPTS:
            raise InputError(f"points_per_batch is {settings.points_per_batch}; a server takes at most {MAX_PROMPTS}")
        generator = MaskGenerator(self.predictor, output_mode="coco_rle", **vars(settings))
        with self.searches.admit(request) as place:
            photograph = image.photograph
            seen, _ = await self.encode(
                photograph, long_side=settings.long_side, square=settings.square, request=request
            )
            pixels = await place.run(lambda: self.pixels(photograph))
            steps = generator.stream(pixels, embedding=seen.embedding)
            while (step := await place.run(lambda: next(steps, None))) is not None:
                yield step

    async def _look_up(self, id: str) -> ServedImage | None:
        found = self.images.recall(id) or await asyncio.to_thread(self.images.find, id)
        self.metrics.lookups.labels("miss" if found is None else "hit").inc()
        return found

    def _encode(self, id: str, photograph: bytes, view: tuple[int, bool]) -> ServedImage:
        timings: dict[str, float] = {}
        with stage(timings, "read"):
            pixels = self.pixels(photograph)
        embedding = self.predictor.encode(pixels, long_side=view[0], square=view[1])
        self.metrics.observe({**timings, **embedding.timings})
        image = ServedImage(id, photograph, replace(embedding, timings={**timings, **embedding.timings}))
        self.images.add(image)
        return image

    def pixels(self, photograph: bytes) -> NDArray[np.uint8]:
        """Decode a photograph to RGB. Raises `HttpError`: it is too large (413) or none (415)."""
        try:
            return decode_image(photograph, "the photograph", int(self.settings.max_megapixels * 10**6))
        except TooManyPixelsError as error:
            raise HttpError(413, "too_many_pixels", str(error)) from error
        except InputError as error:
            raise HttpError(415, "not_a_photograph", one_line(error)) from error
