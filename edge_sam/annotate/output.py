"""Where a data set goes, and what may be replaced there."""

from __future__ import annotations

from pathlib import Path

from edge_sam.errors import InputError
from edge_sam.files.atomic import check_output_file


def is_sa1b(output: Path, layout: str) -> bool:
    """Tell whether a data set is a folder (SA-1B) rather than a file (COCO).

    Parameters
    ----------
    output : Path
        Where it goes.
    layout : str
        ``"coco"``, ``"sa1b"``, or ``"auto"``: by the suffix.

    Raises
    ------
    InputError
        Another layout, no name, or a file where a folder goes, or the other way round.
    """
    if layout not in ("auto", "coco", "sa1b"):
        raise InputError(f"unknown format {layout!r}; known: auto, coco, sa1b")
    if output.name in ("", ".."):
        raise InputError(f"{output} is no name for a data set; give a file (.json) or a new folder")
    sa1b = layout == "sa1b" or (layout == "auto" and output.suffix != ".json")
    if output.is_dir() != sa1b and output.exists():
        raise InputError(f"{output} is a {'file' if sa1b else 'folder'}; {layout} needs another --output")
    return sa1b


def working_folder(output: Path) -> Path:
    """Name the folder that holds what is done until the data set is written, and what to go on from."""
    return output.with_name(output.name + ".work")


def spare_what_is_not_ours(output: Path) -> None:
    """Refuse an output that cannot be written, or that is not of an earlier run of ours: it would be replaced."""
    if output.exists() and not (output.is_file() or output.is_dir()):
        raise InputError(f"{output} is no file, and a data set cannot be begun and finished in it; give a file (.json)")
    if not output.is_dir():
        check_output_file(output)
    working = working_folder(output)
    if output.exists() and not working.exists():
        raise InputError(f"{output} exists, and {working} to go on from does not; remove it, or give another --output")
    strange = (path for path in output.rglob("*") if path.suffix != ".json" and not path.is_dir())
    if output.is_dir() and (found := next(strange, None)):
        raise InputError(f"{output} would be replaced, but {found} is not ours; move it, or give another --output")
