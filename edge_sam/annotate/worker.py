"""The worker: from a photograph's file to its record. All engines run it, in any number of processes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.annotate.functions import find_function
from edge_sam.annotate.limits import Limits
from edge_sam.annotate.records import GivenPrompt, LabelledMask, Outcome, Record, Task
from edge_sam.annotate.sources import Reader
from edge_sam.annotate.text_job import TextJob
from edge_sam.annotate.validators import validate
from edge_sam.errors import InputError
from edge_sam.everything import Found, MaskGenerator
from edge_sam.everything.records import MaskRecord, mask_record
from edge_sam.everything.settings import Grid
from edge_sam.files.atomic import write_files
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.images import encode_png
from edge_sam.imaging.masks import stability
from edge_sam.imaging.region import check_region, read_region
from edge_sam.imaging.view import View
from edge_sam.inference.run_options import RunOptions
from edge_sam.loading import load_with
from edge_sam.predictor import Predictor
from edge_sam.preference import Preference
from edge_sam.prompts import Prompt
from edge_sam.result import Answer
from edge_sam.text import TextSegmenter
from edge_sam.text.result import WordPrompt

_GENERATOR_LIMITS = ("pred_iou_thresh", "stability_score_thresh", "stability_score_offset")


class Job(msgspec.Struct, frozen=True):
    """What is done with every photograph.

    Attributes
    ----------
    model : str
        Name or folder of the bundle.
    run : RunOptions
        How the model is run.
    view : View
        How it is shown the photographs.
    limits : Limits
        Which masks are kept.
    prefer : Preference
        Which mask answers a prompt; see `Predictor.predict`.
    grid : Grid or None
        Everything mode with this grid; None: prompts are given.
    function : str or None
        ``module:function`` that gives the prompts; None: tasks carry them.
    frames : str or None
        Folder that frames of a video are written to.
    text : TextJob or None
        Words that give the prompts.
    """

    model: str
    run: RunOptions
    view: View
    limits: Limits
    prefer: Preference = "auto"
    grid: Grid | None = None
    function: str | None = None
    frames: str | None = None
    text: TextJob | None = None


def mask_generator(job: Job, predictor: Predictor) -> MaskGenerator | None:
    """Return the mask generator of a job in everything mode, None for other jobs. Raises its `InputError`."""
    if job.grid is None:
        return None
    limits = {name: getattr(job.limits, name) for name in _GENERATOR_LIMITS}
    given = {name: value for name, value in limits.items() if value is not None}
    return MaskGenerator(predictor, output_mode="coco_rle", **given, **vars(job.grid), **vars(job.view))


class Annotator:
    """Runs tasks one after the other with its own model.

    Parameters
    ----------
    job : Job
        Its runtime must work without a fallback, because masks of two runtimes must not be mixed.

    Raises
    ------
    InputError
        The job is invalid.
    RuntimeUnavailableError
        The runtime does not work here.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._reader = Reader()
        self._predictor = load_with(job.model, replace(job.run, strict=True))
        self._function = find_function(job.function)[1] if job.function else None
        self._generator = mask_generator(job, self._predictor)
        self._segmenter = job.text.segmenter(self._predictor, job.run) if job.text else None

    def __call__(self, task: Task) -> Outcome:
        """Annotate one photograph. Any error goes into the outcome."""
        start = time.perf_counter()
        record, failure = None, None
        try:
            record = self.annotate(task)
        except Exception as error:  # A user's function may raise anything.
            failure = f"{type(error).__name__}: {error}"
        return Outcome(task, record, failure, time.perf_counter() - start)

    def annotate(self, task: Task) -> Record:
        """Annotate one photograph. The record of a damaged one gives the reason.

        Raises
        ------
        OSError
            The file cannot be read now.
        Exception
            Any error of a user's function.
        """
        try:
            image = self._reader.read(task.item)
            size = (image.shape[0], image.shape[1])
            region = check_region(read_region(task.region), size, f"its valid region {task.region}")
        except InputError as error:
            return Record(task.item.name, skipped=str(error))
        if self._job.frames and task.item.frame is not None:
            write_files({Path(self._job.frames, task.item.name): encode_png(image)})
        asked, masks, rejected = self._grid(image, region) if self._generator else self._ask(task, image, region)
        kept, more = validate(masks, self._job.limits, size)
        counts = {reason: count for reason, count in sorted((rejected + more).items()) if count}
        return Record(task.item.name, size[1], size[0], kept, asked, counts)

    def _grid(
        self, image: NDArray[np.uint8], region: NDArray[np.bool_] | None
    ) -> tuple[int, list[LabelledMask], Counter[str]]:
        """Find all masks of the photograph. The generator has dropped and counted those below the thresholds."""
        assert self._generator is not None
        last = Found(0, 0, 0)

        def remember(found: Found) -> None:
            nonlocal last
            last = found

        found = self._generator.generate(image, valid_mask=region, progress=remember)
        rejected = Counter(last.rejected)
        rejected["duplicate"] += last.masks - len(found)
        return last.asked, [LabelledMask.of(record) for record in found], rejected

    def _ask(
        self, task: Task, image: NDArray[np.uint8], region: NDArray[np.bool_] | None
    ) -> tuple[int, list[LabelledMask], Counter[str]]:
        """Take the preferred mask of each prompt, or those that were compared with words."""
        rejected: Counter[str] = Counter()
        if self._segmenter is not None and self._segmenter.compares:
            found = self._found(self._segmenter, image, region)
            masks = [LabelledMask.of(each.record, each.word) for each in found if each.record is not None]
            return len(found), masks, rejected
        prompts = self._prompts(task, image, region, rejected)
        if not prompts:
            return 0, [], rejected
        embedding = self._predictor.encode(image, long_side=self._job.view.long_side, square=self._job.view.square)
        masks = []
        answers = self._predictor.answers(embedding, [prompt for prompt, _ in prompts])
        for (prompt, category), answer in zip(prompts, answers, strict=True):
            record = self._draw(embedding.geometry, prompt, answer, region)
            if record is None:
                rejected["empty"] += 1
            else:
                masks.append(LabelledMask.of(record, category))
        return len(prompts), masks, rejected

    def _prompts(
        self, task: Task, image: NDArray[np.uint8], region: NDArray[np.bool_] | None, rejected: Counter[str]
    ) -> list[tuple[Prompt, str]]:
        """Return the prompts with their categories. Prompts that do not fit the photograph are counted and skipped."""
        given: Sequence[GivenPrompt | Prompt | tuple[Prompt, str]] = task.prompts
        if self._function is not None:
            given = self._function(image, task.item.name)
        elif self._segmenter is not None:
            given = [(each.prompt, each.word) for each in self._found(self._segmenter, image, region)]
        prompts = []
        for one in given:
            try:
                prompt, category = _prompt(one)
                prompt.check((image.shape[0], image.shape[1]))
            except InputError:
                rejected["prompt"] += 1
            else:
                prompts.append((prompt, category))
        return prompts

    def _found(
        self, segmenter: TextSegmenter, image: NDArray[np.uint8], region: NDArray[np.bool_] | None
    ) -> list[WordPrompt]:
        """Return what the words of the job find."""
        assert self._job.text is not None
        return segmenter.find(image, self._job.text.text, valid_mask=region, **vars(self._job.view))

    def _draw(
        self, geometry: Geometry, prompt: Prompt, answer: Answer, region: NDArray[np.bool_] | None
    ) -> MaskRecord | None:
        """Return the record of the preferred mask. None if the mask is empty within the region."""
        chosen = answer.choose(geometry, prompt, self._job.prefer)
        full = geometry.upsample(answer.logits[chosen])
        if region is not None:
            full[~region] = -np.inf
        pixels = full > 0
        if not pixels.any():
            return None
        return mask_record(
            pixels,
            predicted_iou=float(answer.scores[chosen]),
            stability_score=stability(full, self._job.limits.stability_score_offset),
            points=[] if prompt.points is None else prompt.points.tolist(),
            crop_box=(0, 0, pixels.shape[1], pixels.shape[0]),
        )


def _prompt(given: GivenPrompt | Prompt | tuple[Prompt, str]) -> tuple[Prompt, str]:
    if isinstance(given, GivenPrompt):
        return Prompt(points=given.points, labels=given.labels, box=given.box), given.category
    prompt, category = (given, "object") if isinstance(given, Prompt) else given
    if not isinstance(prompt, Prompt) or not isinstance(category, str):
        raise TypeError("a prompt function must return a sequence of edge_sam.Prompt or (Prompt, category)")
    return prompt, category
