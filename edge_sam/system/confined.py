"""Work on files of unknown makers in a child process, with limits on memory and time."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from edge_sam.errors import InputError, RuntimeUnavailableError, one_line
from edge_sam.system.processes import python_command, reason_of_end, stderr_file

Progress = Callable[[str], object]
_MEBIBYTE = 1 << 20
_PYTHON = re.compile(r"(python|pypy)", re.IGNORECASE)
"""Begin of the name of an interpreter. In a frozen program, or in one with Python inside, `sys.executable` is the
program."""


class Limits(NamedTuple):
    """What a child process may take.

    Attributes
    ----------
    seconds : float
        Seconds until it is killed.
    memory : int, optional
        Bytes of memory of its own. Linux enforces it; macOS and Windows do not.
    """

    seconds: float
    memory: int | None


class _Step(msgspec.Struct, tag=True):
    text: bytes


class _Answer(msgspec.Struct, tag=True):
    content: bytes


class _Refused(msgspec.Struct, tag=True):
    """The input is at fault."""

    reason: bytes


class _Failed(msgspec.Struct, tag=True):
    """The runtime is at fault."""

    reason: bytes


class _Denied(msgspec.Struct, tag=True):
    """The system is at fault."""

    number: int
    reason: str
    file: bytes


_Message = _Step | _Answer | _Refused | _Failed | _Denied
"""Text is bytes, because names of files need not be UTF-8."""


def limits_for(size: int) -> Limits:
    """Return generous limits for a model whose files have so many bytes, on a slow board or a machine of many cores."""
    threads = 16 * _MEBIBYTE * (os.cpu_count() or 1)  # Two stacks for each core.
    return Limits(120 + 2 * size / 1e6, 2048 * _MEBIBYTE + threads + 8 * size)


def run_confined(function: str, request: bytes, limits: Limits, progress: Progress = lambda _: None) -> bytes:
    """Call a function in a child process, or in this one where no process can be started.

    Parameters
    ----------
    function : str
        ``module:name`` of ours. It takes `request` and a function for the progress, and returns the answer.
    request : bytes
    limits : Limits
    progress : callable
        Called with each step of the function.

    Raises
    ------
    InputError, OSError
        The function raised it.
    RuntimeUnavailableError
        The function raised another error, or the process crashed or went beyond a limit.
    """
    if not _PYTHON.match(Path(sys.executable or "").name):
        return _find(function)(request, progress)
    with stderr_file() as stderr:
        try:
            process = subprocess.Popen(
                [*python_command("edge_sam.system.confined"), function, str(limits.memory or 0)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        except OSError:
            return _find(function)(request, progress)
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limits.seconds, stop)
        timer.start()
        try:
            with process:
                return _answer_of(process, request, progress)
        except EOFError:
            stderr.seek(0)
            end = reason_of_end(process.returncode, stderr.read())
            limit = f"no end within {limits.seconds:.0f} s" if late.is_set() else f"its process {end}"
            raise RuntimeUnavailableError(f"a test in a process of its own failed: {limit}") from None
        finally:
            timer.cancel()
            process.kill()


def _answer_of(process: subprocess.Popen[bytes], request: bytes, progress: Progress) -> bytes:
    """Return the answer of a child process. Raises `EOFError` if it ends without one."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(request)
        process.stdin.close()
    for line in process.stdout:
        message: _Message = msgspec.json.decode(line, type=_Message)
        if isinstance(message, _Answer):
            return message.content
        if isinstance(message, _Refused):
            raise InputError(os.fsdecode(message.reason))
        if isinstance(message, _Failed):
            raise RuntimeUnavailableError(os.fsdecode(message.reason))
        if isinstance(message, _Denied):
            raise OSError(message.number, message.reason, os.fsdecode(message.file))
        progress(os.fsdecode(message.text))
    raise EOFError


def _find(function: str) -> Callable[[bytes, Progress], bytes]:
    module, _, name = function.partition(":")
    found: Callable[[bytes, Progress], bytes] = getattr(importlib.import_module(module), name)
    return found


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows.
        return
    with contextlib.suppress(ValueError, OSError):  # The system or an earlier limit allows less.
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _tell(pipe: BinaryIO, message: _Message) -> None:
    pipe.write(msgspec.json.encode(message) + b"\n")
    pipe.flush()


def main() -> None:
    """Run in the child process."""
    function, memory = sys.argv[1:]
    if int(memory):
        _limit_memory(int(memory))
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Native libraries print to standard output.
    try:
        answer = _find(function)(sys.stdin.buffer.read(), lambda text: _tell(pipe, _Step(os.fsencode(text))))
    except InputError as error:
        _tell(pipe, _Refused(os.fsencode(one_line(error))))
    except OSError as error:
        _tell(pipe, _Denied(error.errno or 0, error.strerror or str(error), os.fsencode(error.filename or "")))
    except MemoryError:
        _tell(pipe, _Failed(b"it needs more memory than a new model may take"))
    except Exception as error:  # Runtimes raise many unrelated classes.
        _tell(pipe, _Failed(os.fsencode(one_line(error))))
    else:
        _tell(pipe, _Answer(answer))


if __name__ == "__main__":
    main()
