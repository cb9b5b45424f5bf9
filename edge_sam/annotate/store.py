"""The working folder: a record of each finished photograph, from which a killed run resumes."""

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
    """Records by key. Each is a file that is written atomically.

    Parameters
    ----------
    folder : Path
        The working folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def opened(self, settings: dict[str, Any], *, restart: bool) -> Iterator[None]:
        """Lock the folder for one run.

        Parameters
        ----------
        settings : dict
            Everything except the photograph that affects its masks. Records of different settings must not be mixed.
        restart : bool
            Delete the existing records.

        Raises
        ------
        InputError
            Another run holds the lock, the settings differ from those of the records (the message lists them), or the
            folder holds something else than files and folders: through a link, records would be written elsewhere.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = [file for file in _files(self.folder) if file.match(".edge-sam-*.part")]
        lock = filelock.FileLock(self.folder / "lock")
        try:
            held = lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"another run uses {self.folder}; wait for it, or give another output") from None
        with held:
            if restart:
                shutil.rmtree(self.folder / "records", ignore_errors=True)
            else:
                self._compare(settings)
            for file in unfinished:  # Left by a killed run.
                file.unlink(missing_ok=True)
            write_files({self.folder / _SETTINGS: to_json(settings, indent=1)})
            yield

    def has(self, key: str) -> bool:
        """Return whether a photograph is done."""
        return self._file(key).is_file()

    def put(self, key: str, record: Record) -> None:
        """Write a record."""
        write_files({self._file(key): to_json(record)})

    def get(self, task: Task) -> Record:
        """Read the record of a task.

        Raises
        ------
        InputError
            The record is damaged, or belongs to another photograph: the folder may come from elsewhere.
        """
        file = self._file(task.key)
        try:
            record: Record = from_json(file.read_bytes(), Record)
        except msgspec.DecodeError as error:
            raise InputError(f"record {file} is damaged ({error}); remove it and run again") from error
        if record.name != task.item.name:
            raise InputError(
                f"record {file} belongs to {record.name!r}, not to {task.item.name}; remove it and run again"
            )
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
                " or --restart to discard the finished work"
            )


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            else:
                raise InputError(f"{entry.path} is a link or a special file, which edge-sam never creates; remove it")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
