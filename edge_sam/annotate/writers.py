"""Writers of the data set. Records come in the order of the photographs' names, so the bytes are reproducible."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any

import msgspec

from edge_sam.annotate.records import LabelledMask, Record
from edge_sam.errors import InputError
from edge_sam.files.atomic import move_into_place, write_files
from edge_sam.files.serialization import to_json
from edge_sam.imaging.coco import Id

Records = Callable[[], Iterable[Record]]
"""Iterates over the records in order. It is called more than once, because the records may not fit into memory."""


def write_coco(records: Records, output: Path, staging: Path, categories: Mapping[str, Id] | None) -> None:
    """Write COCO instances JSON, atomically.

    Parameters
    ----------
    records : callable
        See `Records`. Skipped photographs are left out.
    output : Path
        The file.
    staging : Path
        A folder on the same disk for the temporary file.
    categories : mapping of str to int, float or str, optional
        Ids of the categories by name. None: number the occurring categories by name, from 1.
    """
    numbers: Mapping[str, Id] = categories if categories is not None else _number(records())
    with (staging / ".edge-sam-coco.part").open("wb") as file:
        file.write(b'{"info":{"description":"masks by edge-sam"},"categories":')
        file.write(to_json([{"id": number, "name": name} for name, number in numbers.items()]))
        file.write(b',\n"images":[')
        _write_all(file, ({"id": i, **_size(record)} for i, record in _numbered(records())))
        file.write(b'],\n"annotations":[')
        _write_all(file, _annotations(records(), numbers))
        file.write(b"]}\n")
        file.flush()
        os.fsync(file.fileno())
    output.parent.mkdir(parents=True, exist_ok=True)
    move_into_place(Path(file.name), output)


def write_sa1b(records: Records, output: Path, staging: Path) -> None:
    """Write a folder with a JSON file for each photograph in the layout of SA-1B, atomically.

    An existing folder is replaced. The photographs' names must pass `distinct_without_suffix`.
    """
    new, old = staging / "sa1b-new", staging / "sa1b-old"
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    new.mkdir()
    first = 1
    for number, record in _numbered(records()):
        file = _inside(new, record.name).with_suffix(".json")
        annotations = [{"id": first + i, **_fields(mask)} for i, mask in enumerate(record.masks)]
        first += len(annotations)
        document = {"image": {"image_id": number, **_size(record)}, "annotations": annotations}
        write_files({file: to_json(document)})
    output = Path(os.path.realpath(output))
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists():
        shutil.copymode(output, new)
        output.rename(old)
    new.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def distinct_without_suffix(names: Iterable[str]) -> None:
    """Raise `InputError` if two photographs differ only in their suffix: their files would share a name."""
    seen: dict[PurePosixPath, str] = {}
    for name in names:
        other = seen.setdefault(PurePosixPath(name).with_suffix(""), name)
        if other != name:
            raise InputError(f"{other} and {name} differ only in their suffix; write COCO instead (--output X.json)")


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder. Raises `InputError` if it would lie outside."""
    relative = PurePath(name)
    if relative.anchor or ".." in relative.parts or not relative.parts:
        raise InputError(f"a photograph called {name!r} would be written outside the data set")
    return folder / relative


def _numbered(records: Iterable[Record]) -> Iterator[tuple[int, Record]]:
    return enumerate((record for record in records if record.skipped is None), 1)


def _number(records: Iterable[Record]) -> dict[str, int]:
    names = {mask.category for record in records for mask in record.masks}
    return {name: number for number, name in enumerate(sorted(names), 1)}


def _size(record: Record) -> dict[str, Any]:
    return {"width": record.width, "height": record.height, "file_name": record.name}


def _annotations(records: Iterable[Record], numbers: Mapping[str, Id]) -> Iterator[dict[str, Any]]:
    count = 0
    for image, record in _numbered(records):
        for mask in record.masks:
            count += 1
            category = numbers.get(mask.category)
            if category is None:
                raise InputError(
                    f"the record of {record.name} has the category {mask.category!r}, but no prompt has it"
                )
            yield {"id": count, "image_id": image, "category_id": category, "iscrowd": 0, **_fields(mask)}


def _fields(mask: LabelledMask) -> dict[str, Any]:
    fields = msgspec.structs.asdict(mask)
    del fields["category"]
    return fields


def _write_all(file: IO[bytes], entries: Iterable[dict[str, Any]]) -> None:
    """Write the entries of a list, one per line."""
    for i, entry in enumerate(entries):
        file.write(b",\n" if i else b"\n")
        file.write(to_json(entry))
