"""Boxes and points from a file, such as a detector's output: COCO, CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from edge_sam.annotate.records import GivenPrompt
from edge_sam.annotate.sources import name_of
from edge_sam.errors import InputError
from edge_sam.files.names import canonical
from edge_sam.files.text import read_as_utf8
from edge_sam.imaging.coco import Annotation, Id, Image, by_id, read_coco, warn_left_out

_BOX, _POINT = ("x0", "y0", "x1", "y1"), ("x", "y")


class PromptTable:
    """Prompts by photograph.

    Parameters
    ----------
    rows : iterable of (str, GivenPrompt)
        Photograph and prompt, in order.
    categories : dict of str to int, float or str, optional
        Ids of the categories by name, if the file has them.
    images : iterable of str
        Photographs that the file lists, with or without prompts.
    """

    def __init__(
        self,
        rows: Iterable[tuple[str, GivenPrompt]],
        categories: dict[str, Id] | None = None,
        images: Iterable[str] = (),
    ) -> None:
        self._rows: dict[str, list[GivenPrompt]] = defaultdict(list, {_key(name): [] for name in images})
        for name, prompt in rows:
            self._rows[_key(name)].append(prompt)
        self.categories = categories
        self._by_basename: dict[str, list[str]] = defaultdict(list)
        for name in self._rows:
            self._by_basename[PurePosixPath(name).name].append(name)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __getitem__(self, known: str) -> tuple[GivenPrompt, ...]:
        """Return the prompts of a photograph by the name that `find` returned."""
        return tuple(self._rows[known])

    def find(self, name: str) -> str | None:
        """Return a photograph's name in the file, or None if the file does not list it.

        The file may list a photograph by its name in the data set, or by a unique file name. Composed and decomposed
        characters match, as do forward slashes and backslashes.
        """
        name = _key(name)
        if name in self._rows:
            return name
        known = self._by_basename.get(PurePosixPath(name).name, [])
        return known[0] if len(known) == 1 else None


def _key(name: str) -> str:
    return name_of(canonical(name))


def read_prompts(path: Path) -> PromptTable:
    """Read a file of prompts. The suffix tells the format.

    ``.json``: the boxes of COCO instances. ``.csv``: a header with ``image`` and ``x0,y0,x1,y1`` or ``x,y``, and
    optionally ``category``; each line is a prompt. ``.jsonl``: an object per line with ``image`` and ``box`` (XYXY) or
    ``points`` (and ``labels``), and optionally ``category``.

    Raises
    ------
    InputError
        The file cannot be read, a line has another form, or there are no prompts.
    """
    readers = {".json": _coco, ".csv": _csv, ".jsonl": _json_lines}
    if path.suffix.lower() not in readers:
        what = f"a function in it, {path}:NAME" if path.suffix == ".py" else ".json (COCO), .csv or .jsonl"
        raise InputError(f"{path}: prompts come from {what}")
    table = readers[path.suffix.lower()](path)
    if not any(table[name] for name in table):
        raise InputError(f"{path} has no boxes or points")
    return table


class _Category(msgspec.Struct):
    id: Id
    name: str


class _Annotation(Annotation, kw_only=True):
    id: Id | None = None
    bbox: Any = None
    category_id: Id = 0


class _Instances(msgspec.Struct):
    images: list[Image]
    annotations: list[_Annotation]
    categories: list[_Category] = []


def _coco(path: Path) -> PromptTable:
    instances = read_coco(path, _Instances | list[Any])  # type: ignore[arg-type]
    if isinstance(instances, list):
        raise InputError(f"{path} is a list of results without names of photographs; give COCO instances JSON")
    images = by_id(instances.images, "images", path)
    categories = by_id(instances.categories, "categories", path)
    numbers = {category.name: number for number, category in categories.items()}
    if len(numbers) < len(categories):
        raise InputError(f"{path} has two categories of the same name")
    rows, without = [], []
    for annotation in instances.annotations:
        what = f"{path}: {'an annotation' if annotation.id is None else f'annotation {annotation.id!r:.80}'}"
        if annotation.image_id not in images:
            raise InputError(f"{what} is on image {annotation.image_id!r:.80}, which the file does not list")
        category = categories.get(annotation.category_id)
        if categories and category is None:
            raise InputError(f"{what} has category {annotation.category_id!r:.80}, which the file does not list")
        if annotation.iscrowd:  # A crowd's box surrounds many objects.
            continue
        if annotation.bbox in (None, []):
            without.append(annotation.id)
            continue
        try:
            x, y, width, height = msgspec.convert(annotation.bbox, tuple[float, float, float, float])
        except (ValueError, OverflowError) as error:
            raise InputError(f"{what} has a bbox that is not x, y, width, height: {error}") from error
        box = (x, y, x + width, y + height)
        if not all(map(math.isfinite, box)):
            raise InputError(f"{what} has a bbox that is not finite")
        prompt = GivenPrompt(box=box, category=category.name if category else "object")
        rows.append((images[annotation.image_id].file_name, prompt))
    warn_left_out(path, "bbox", without)
    return PromptTable(rows, numbers or None, [image.file_name for image in images.values()])


def _csv(path: Path) -> PromptTable:
    try:
        lines = csv.DictReader(io.StringIO(read_as_utf8(path).decode(), newline=""), skipinitialspace=True)
        lines.fieldnames = [name.strip() for name in lines.fieldnames or ()]
        return PromptTable(_rows(path, lines))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from error
    except csv.Error as error:
        raise InputError(f"{path} is not CSV: {error}") from error


def _rows(path: Path, lines: csv.DictReader[str]) -> Iterator[tuple[str, GivenPrompt]]:
    fields = set(lines.fieldnames or ())
    columns = _BOX if fields.issuperset(_BOX) else _POINT
    if not fields.issuperset(("image", *columns)):
        have = repr(", ".join(sorted(fields)))
        raise InputError(f"{path} needs a header with image and x0,y0,x1,y1 or x,y; its header is {have:.200}")
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
            yield line["image"], GivenPrompt(box=(x0, y0, x1, y1), category=category)
        else:
            yield line["image"], GivenPrompt(points=((numbers[0], numbers[1]),), category=category)


class _Line(GivenPrompt, frozen=True, kw_only=True):
    image: str


def _json_lines(path: Path) -> PromptTable:
    rows = []
    for number, text in enumerate(read_as_utf8(path).splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        if line.box is None and not line.points:
            raise InputError(f"{path}, line {number}: neither box nor points")
        rows.append((line.image, GivenPrompt(line.box, line.points, line.labels, line.category)))
    return PromptTable(rows)
