"""Boxes and points from a file, for example a detector's output: COCO, CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from edge_sam.annotate.records import GivenPrompt
from edge_sam.annotate.sources import name_of
from edge_sam.errors import InputError

_BOX, _POINT = ("x0", "y0", "x1", "y1"), ("x", "y")


class PromptTable:
    """Prompts by photograph.

    Parameters
    ----------
    rows : iterable of (str, GivenPrompt)
        Photograph and prompt, in order.
    categories : dict of str to int, optional
        Numbers of the categories by name, where the file says them.
    images : iterable of str
        Photographs that the file knows, with or without prompts.
    """

    def __init__(
        self,
        rows: Iterable[tuple[str, GivenPrompt]],
        categories: dict[str, int] | None = None,
        images: Iterable[str] = (),
    ) -> None:
        self._rows: dict[str, list[GivenPrompt]] = defaultdict(list, {name_of(name): [] for name in images})
        for name, prompt in rows:
            self._rows[name_of(name)].append(prompt)
        self.categories = categories
        self._by_basename: dict[str, list[str]] = defaultdict(list)
        for name in self._rows:
            self._by_basename[PurePosixPath(name).name].append(name)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, known: str) -> tuple[GivenPrompt, ...]:
        """Give the prompts of a photograph by the name that `find` gave."""
        return tuple(self._rows[known])

    def find(self, name: str) -> str | None:
        """Give what the file calls a photograph; None where the file does not know it.

        A photograph is known by its name in the data set, or by its file name alone where that is said once.
        """
        if name in self._rows:
            return name
        known = self._by_basename.get(PurePosixPath(name).name, [])
        return known[0] if len(known) == 1 else None


def read_prompts(path: Path) -> PromptTable:
    """Read a file of prompts; its suffix says its kind.

    ``.json``: COCO instances, of which the boxes are taken. ``.csv``: a header with ``image`` and ``x0,y0,x1,y1``
    or ``x,y``, and perhaps ``category``; each line is a prompt. ``.jsonl``: on each line an object with ``image``
    and ``box`` (XYXY) or ``points`` (and ``labels``), and perhaps ``category``.

    Raises
    ------
    InputError
        It cannot be read, or a line is not of this form.
    """
    readers = {".json": _coco, ".csv": _csv, ".jsonl": _json_lines}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: prompts come from .json (COCO), .csv or .jsonl")
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # A byte order mark.
        return readers[path.suffix.lower()](path, data)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not in the form of its suffix: {error}") from error


class _Image(msgspec.Struct):
    id: int
    file_name: str


class _Category(msgspec.Struct):
    id: int
    name: str


class _Annotation(msgspec.Struct):
    image_id: int
    bbox: tuple[float, float, float, float]
    category_id: int = 0
    iscrowd: int = 0


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category] = []


def _coco(path: Path, data: bytes) -> PromptTable:
    if data.lstrip().startswith(b"["):
        raise InputError(f"{path} is a list of results, which does not name photographs; give COCO instances JSON")
    instances = msgspec.json.decode(data, type=_Instances)
    images = {image.id: image.file_name for image in instances.images}
    names = {category.id: category.name for category in instances.categories}
    if len(set(names.values())) < len(names):
        raise InputError(f"{path} has two categories of one name")
    rows = []
    for annotation in instances.annotations:
        if annotation.image_id not in images:
            raise InputError(f"{path}: an annotation is on image {annotation.image_id}, which it does not list")
        if names and annotation.category_id not in names:
            raise InputError(f"{path}: an annotation is of category {annotation.category_id}, which it does not list")
        if not annotation.iscrowd:  # A crowd's box is around many objects.
            x, y, width, height = annotation.bbox
            category = names.get(annotation.category_id, "object")
            rows.append(
                (images[annotation.image_id], GivenPrompt(box=(x, y, x + width, y + height), category=category))
            )
    return PromptTable(rows, {name: number for number, name in names.items()} or None, images.values())


def _csv(path: Path, data: bytes) -> PromptTable:
    lines = csv.DictReader(io.StringIO(data.decode(), newline=""))
    fields = set(lines.fieldnames or ())
    columns = _BOX if fields.issuperset(_BOX) else _POINT
    if not fields.issuperset(("image", *columns)):
        raise InputError(f"{path} needs a header with image and x0,y0,x1,y1 or x,y; it has {', '.join(sorted(fields))}")
    rows = []
    for line in lines:
        try:
            numbers = [float(line[column]) for column in columns]
        except (TypeError, ValueError):
            numbers = [math.nan]
        if not all(map(math.isfinite, numbers)):
            raise InputError(f"{path}, line {lines.line_num}: {', '.join(columns)} are not numbers")
        if not line["image"]:
            raise InputError(f"{path}, line {lines.line_num}: no image")
        category = line.get("category") or "object"
        if columns == _BOX:
            x0, y0, x1, y1 = numbers
            prompt = GivenPrompt(box=(x0, y0, x1, y1), category=category)
        else:
            prompt = GivenPrompt(points=((numbers[0], numbers[1]),), category=category)
        rows.append((line["image"], prompt))
    return PromptTable(rows)


class _Line(msgspec.Struct):
    image: str
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float], ...] | None = None
    labels: tuple[int, ...] | None = None
    category: str = "object"


def _json_lines(path: Path, data: bytes) -> PromptTable:
    rows = []
    for number, text in enumerate(data.splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.DecodeError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        if line.box is None and not line.points:
            raise InputError(f"{path}, line {number}: neither box nor points")
        rows.append((line.image, GivenPrompt(line.box, line.points, line.labels, line.category)))
    return PromptTable(rows)
