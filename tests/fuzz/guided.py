"""The worker with atheris, which keeps the mutations that reach new code and goes on from them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from random import Random

import atheris

_GUIDES = ["edge_sam", "PIL", "zipfile"]
"""Packages whose coverage counts; of torch, which would take minutes to instrument, one module does."""

with atheris.instrument_imports(include=_GUIDES):
    from PIL import Image

    Image.init()  # Imports the plugins, of which atheris writes to stderr, before an input does.
    from fuzz.mutations import mutate
    from fuzz.worker import CORPUS, LONGEST_INPUT, start


def _mutate(data: bytes, longest: int, seed: int) -> bytes:
    random = Random(seed)
    if random.random() < 0.3:
        return bytes(atheris.Mutate(data, longest))
    return mutate(data, random)[:longest]


def main() -> None:
    """Search for some seconds; inputs that reach new code go to the folder `found`."""
    folder, target, found, seconds = sys.argv[1:]
    if target == "checkpoint":
        import torch._weights_only_unpickler as unpickler

        with atheris.instrument_imports(include=["torch"]):
            importlib.reload(unpickler)
    with atheris.instrument_imports(include=_GUIDES):
        execute, _ = start(Path(folder), target)
    limits = ["-rss_limit_mb=0", "-malloc_limit_mb=0", "-timeout=100"]  # Those of the worker are narrower.
    options = [*limits, f"-max_len={LONGEST_INPUT}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    arguments = [sys.argv[0], found, str(CORPUS / target), f"-max_total_time={seconds}", *options]
    atheris.Setup(arguments, execute, custom_mutator=_mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
