"""A whole evaluation: run protocols on a dataset, and make a report and contact sheets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.evaluation.protocols import Protocol, Segmenter, find_protocol
from edge_sam.evaluation.report import SCHEMA, DatasetFacts, EvalReport, ProtocolReport, summarise
from edge_sam.evaluation.samples import Dataset
from edge_sam.evaluation.stills import ObjectScores, evaluate_sample
from edge_sam.evaluation.video import VIDEO_PROTOCOLS, VideoProtocol, measure_clip
from edge_sam.evaluation.worst_cases import WorstCases
from edge_sam.imaging.images import encode_png
from edge_sam.version import __version__


class Evaluation:
    """Protocols on a dataset, checked before anything is computed.

    Parameters
    ----------
    dataset : Dataset
        What to evaluate on.
    prompts : sequence of str
        Names of protocols.

    Attributes
    ----------
    steps : int
        Number of photographs and video frames to segment: how often `run` reports progress.

    Raises
    ------
    InputError
        A protocol is unknown, or it needs videos and the dataset has none.
    """

    def __init__(self, dataset: Dataset, prompts: Sequence[str]) -> None:
        self._dataset = dataset
        wanted = list(dict.fromkeys(prompts))
        if not wanted:
            raise InputError("no prompts given; for example point,box,3points or video-track")
        self._stills: list[Protocol] = [find_protocol(name) for name in wanted if name not in VIDEO_PROTOCOLS]
        self._videos = [VIDEO_PROTOCOLS[name] for name in wanted if name in VIDEO_PROTOCOLS]
        if self._videos and not dataset.clips:
            raise InputError(f"{self._videos[0].name} needs videos; {dataset.path} holds single photographs")
        self.steps = sum(len(clip.frames) for clip in dataset.clips) * len(self._videos)
        self.steps += len(dataset.samples) if self._stills else 0

    def run(
        self, segmenters: Sequence[Segmenter], *, seed: int, worst: int, progress: Callable[[], None]
    ) -> tuple[list[ProtocolReport], dict[str, NDArray[np.uint8]]]:
        """Evaluate one segmenter, or compare two.

        Parameters
        ----------
        segmenters : sequence of Segmenter
            One or two.
        seed : int
            Seed of the bootstrap.
        worst : int
            Cases on each contact sheet. 0: no sheets.
        progress : callable
            Called `steps` times.

        Returns
        -------
        reports : list of ProtocolReport
        sheets : dict of str to ndarray of uint8, (height, width, 3)
            RGB, by protocol.

        Raises
        ------
        InputError
            A file of the dataset cannot be used, or no mask shows an object.
        """
        cases = {protocol.name: WorstCases(worst) for protocol in self._stills}
        rows: dict[str, list[ObjectScores]] = {protocol.name: [] for protocol in self._stills}
        for sample in self._dataset.samples if self._stills else ():
            for row in evaluate_sample(
                segmenters, self._stills, sample, lambda case: cases[case.protocol.name].look(case)
            ):
                rows[row.protocol].append(row)
            progress()
        if any(not found for found in rows.values()):
            raise InputError(f"no mask of {self._dataset.path} shows an object")
        reports = [
            summarise(rows[protocol.name], protocol.description, protocol.main_score, seed) for protocol in self._stills
        ]
        for video in self._videos:
            rows_of_video = self._video_rows(video, segmenters, progress)
            reports.append(summarise(rows_of_video, video.description, "j&f", seed))
        sheets = {name: sheet for name, worst_cases in cases.items() if (sheet := worst_cases.sheet()) is not None}
        return reports, sheets

    def report(
        self, segmenters: Sequence[Segmenter], folder: Path, *, seed: int, worst: int, progress: Callable[[], None]
    ) -> tuple[EvalReport, dict[Path, bytes]]:
        """Evaluate as in `run`. Returns the report, and the contact sheets as files to write in `folder`."""
        protocols, sheets = self.run(segmenters, seed=seed, worst=worst, progress=progress)
        files = {name: folder / f"worst-{name}.png" for name in sheets}
        data, facts = self._dataset, [segmenter.facts for segmenter in segmenters]
        report = EvalReport(
            schema=SCHEMA,
            version=__version__,
            segmenter=facts[0],
            against=facts[1] if len(facts) == 2 else None,
            dataset=DatasetFacts(str(data.path), data.layout, len(data.samples), len(data.clips), list(data.left_out)),
            protocols=protocols,
            seed=seed,
            contact_sheets={name: str(file) for name, file in files.items()} or None,
        )
        return report, {files[name]: encode_png(sheet) for name, sheet in sheets.items()}

    def _video_rows(
        self, video: VideoProtocol, segmenters: Sequence[Segmenter], progress: Callable[[], None]
    ) -> list[ObjectScores]:
        rows = []
        for clip in self._dataset.clips:
            # Each segmenter goes through the clip separately. Only the first one reports progress.
            measured = [
                measure_clip(video.make(segmenter), clip, (lambda: None) if i else progress)
                for i, segmenter in enumerate(segmenters)
            ]
            for name, *scores in zip(clip.objects, *measured, strict=True):
                rows.append(ObjectScores(clip.name, name, clip.name, "", video.name, scores))
        return rows
