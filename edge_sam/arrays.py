"""Reading numpy files that may be anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError


def load_arrays(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of a ``.npz`` file; the one of a ``.npy`` file goes by the name ``""``.

    Parameters
    ----------
    path : Path
        The file. Nothing in it is unpickled.
    what : str
        What the file should be, for the error: "an image embedding".

    Raises
    ------
    InputError
        The file cannot be read, or is damaged or of another kind.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # numpy, zipfile and tokenize raise a dozen unrelated classes on damaged files.
        raise InputError(f"{path} is not {what}, or it is damaged") from error
