"""Videos in the layout of DAVIS, or with a folder for each video that holds `frames` and `masks`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from edge_sam.errors import InputError
from edge_sam.evaluation.datasets.files import listed, mask_of, pictures_by_stem
from edge_sam.evaluation.samples import Clip, Dataset, Sample, Target
from edge_sam.files.names import Names, natural_key
from edge_sam.imaging.labels import read_labels

WHITE = 255
"""Marks ignored pixels. If it is the only number, it is the object, as in DAVIS 2016."""


def found(path: Path) -> bool:
    """Return whether `path` has one of these layouts."""
    return ((path / "Annotations").is_dir() and (path / "JPEGImages").is_dir()) or bool(_plain(path))


def read(path: Path, split: str | None) -> Dataset:
    """List the videos of a split; see `edge_sam.evaluation.datasets.open_dataset`.

    The split is a list in ``ImageSets/2017`` or ``ImageSets/480p``. Default: ``val`` if there are lists, else all
    videos.
    """
    videos = _plain(path)
    if videos:
        if split is not None:
            raise InputError(f"{path} is a folder of videos; it has no splits")
    else:
        videos = dict(_davis(path, split))
    clips = [_clip(name, *folders) for name, folders in videos.items()]
    return Dataset(path, "davis", [frame for clip in clips for frame in clip.frames], clips)


Folders = tuple[Path, Path]


def _plain(path: Path) -> dict[str, Folders]:
    """Return the folders of frames and masks by video, if each video has its own folder."""
    videos = sorted((frames.parent for frames in path.glob("*/frames")), key=lambda video: natural_key(video.name))
    folders = {video.name: (video / "frames", video / "masks") for video in videos}
    return {name: both for name, both in folders.items() if all(folder.is_dir() for folder in both)}


def _davis(path: Path, split: str | None) -> Iterator[tuple[str, Folders]]:
    images, masks = (_resolution(path / kind) for kind in ("JPEGImages", "Annotations"))
    lists = [path / "ImageSets" / year / f"{split or 'val'}.txt" for year in ("2017", "480p", "2016")]
    there = next((file for file in lists if file.is_file()), None)
    if there is not None:
        names = [_video(entry) for entry in listed(there)]
    elif split is None:
        names = sorted((folder.name for folder in masks.iterdir() if folder.is_dir()), key=natural_key)
    else:
        raise InputError(f"{path} has no split {split!r}; expected {lists[0]}")
    if not names:
        raise InputError(f"{masks} holds no videos")
    frames_of, masks_of = Names(images), Names(masks)
    for name in dict.fromkeys(names):
        yield name, (frames_of.find(name) or images / name, masks_of.find(name) or masks / name)


def _video(entry: str) -> str:
    """Return the video of a list's line: the line itself in 2017, the folder of the frame's path in 2016."""
    return Path(entry).parent.name if "/" in entry else entry


def _resolution(folder: Path) -> Path:
    """Choose the resolution: ``480p``, the usual one for published results, else the full one."""
    for name in ("480p", "Full-Resolution"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def _clip(name: str, frames: Path, masks: Path) -> Clip:
    known = Names(masks)
    files = [(image, mask_of(image, known)) for image in pictures_by_stem(frames).values()]
    shown = set(np.unique(read_labels(files[0][1])).tolist()) - {0}
    indices = sorted(shown - {WHITE}) or sorted(shown)
    if not indices:
        raise InputError(f"the first mask of video {name} is empty: {files[0][1]}")
    samples = [Sample(f"{name}/{image.stem}", name, image, partial(_targets, mask, indices)) for image, mask in files]
    return Clip(name, samples, [str(index) for index in indices])


def _targets(path: Path, indices: Sequence[int]) -> list[Target]:
    labels = read_labels(path)
    valid = (labels != WHITE) | (WHITE in indices)
    return [Target(str(index), labels == index, valid) for index in indices]
