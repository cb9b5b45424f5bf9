"""Checks of the path that a data set is written to."""

from __future__ import annotations

from pathlib import Path

from edge_sam.errors import InputError
from edge_sam.files.atomic import check_output_file


def is_sa1b(output: Path, layout: str) -> bool:
    """Return whether a data set is a folder (SA-1B) rather than a file (COCO).

    Parameters
    ----------
    output : Path
        Its path.
    layout : str
        ``"coco"``, ``"sa1b"``, or ``"auto"``: by the suffix.

    Raises
    ------
    InputError
        The layout is unknown, the path has no name, or it is a file instead of a folder or the reverse.
    """
    if layout not in ("auto", "coco", "sa1b"):
        raise InputError(f"unknown format {layout!r}; known: auto, coco, sa1b")
    if output.name in ("", ".."):
        raise InputError(f"{output} is not a valid name for a data set; give a file (.json) or a new folder")
    sa1b = layout == "sa1b" or (layout == "auto" and output.suffix != ".json")
    if output.is_dir() != sa1b and output.exists():
        raise InputError(f"{output} is a {'file' if sa1b else 'folder'}; {layout} needs another --output")
    return sa1b


def working_folder(output: Path) -> Path:
    """Return the folder that holds the records until the data set is written, and from which a run resumes."""
    return output.with_name(output.name + ".work")


def check_output(output: Path) -> None:
    """Raise `InputError` for an output that cannot be written, or that an earlier run of edge-sam did not make."""
    if output.exists() and not (output.is_file() or output.is_dir()):
        raise InputError(f"{output} is not a regular file; give a file (.json)")
    if not output.is_dir():
        check_output_file(output)
    working = working_folder(output)
    if output.exists() and not working.exists():
        raise InputError(f"{output} exists, but {working} to resume from does not; remove it, or give another --output")
    foreign = (path for path in output.rglob("*") if path.suffix != ".json" and not path.is_dir())
    if output.is_dir() and (found := next(foreign, None)):
        raise InputError(
            f"{output} would be replaced, but edge-sam did not write {found}; move it, or give another --output"
        )
