"""The working folder: a record for each photograph that is done, so that a run can be killed and go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import msgspec

from edge_sam.annotate.records import Record, Task
from edge_sam.errors import InputError
from edge_sam.files.atomic import write_files
from edge_sam.files.serialization import from_json, to_json

_SETTINGS = "settings.json"


class Store:
    """Records by key, each a file that is there whole or not at all.

    Parameters
    ----------
    folder : Path
        The working folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def opened(self, settings: dict[str, Any], *, restart: bool) -> Iterator[None]:
        """Hold the folder for one run.

        Parameters
        ----------
        settings : dict
            Everything but the photograph that decides its masks. Records made with others are not to be mixed in.
        restart : bool
            Throw away what is there.

        Raises
        ------
        InputError
            Another run holds it, it was made with other settings (the message says which), or something in it is
            neither a file nor a folder: through a link, records would be written elsewhere.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = [file for file in _files(self.folder) if file.match(".edge-sam-*.part")]
        lock = filelock.FileLock(self.folder / "lock")
        try:
            held = lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"another run is at work in {self.folder}; wait for it, or give another output") from None
        with held:
            if restart:
                shutil.rmtree(self.folder / "records", ignore_errors=True)
            else:
                self._compare(settings)
            for file in unfinished:  # What a killed run was writing.
                file.unlink(missing_ok=True)
            write_files({self.folder / _SETTINGS: to_json(settings, indent=1)})
            yield

    def has(self, key: str) -> bool:
        """Tell whether a photograph is done."""
        return self._file(key).is_file()

    def put(self, key: str, record: Record) -> None:
        """Keep a record."""
        write_files({self._file(key): to_json(record)})

    def get(self, task: Task) -> Record:
        """Give the record of a task back.

        Raises
        ------
        InputError
            It is damaged, or of another photograph: a folder that came from elsewhere is not believed.
        """
        file = self._file(task.key)
        try:
            record: Record = from_json(file.read_bytes(), Record)
        except msgspec.DecodeError as error:
            raise InputError(f"record {file} is damaged ({error}); remove it and run again") from error
        if record.name != task.item.name:
            raise InputError(f"record {file} is of {record.name!r}, not of {task.item.name}; remove it and run again")
        return record

    def _file(self, key: str) -> Path:
        return self.folder / "records" / key[:2] / f"{key[2:]}.json"

    def _compare(self, settings: dict[str, Any]) -> None:
        try:
            before = from_json((self.folder / _SETTINGS).read_bytes(), dict)
        except FileNotFoundError:
            return
        except msgspec.DecodeError:
            before = {}
        now = from_json(to_json(settings), dict)
        changed = [
            f"{name} {_short(before.get(name))} → {_short(now.get(name))}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise InputError(
                f"{self.folder} was begun with other settings ({'; '.join(changed)}); use those, give another output,"
                " or --restart to throw the work done away"
            )


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            else:
                raise InputError(f"{entry.path} is a link or a special file, which no run makes; remove it")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
