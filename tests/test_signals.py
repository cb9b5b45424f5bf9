"""Signals that ask a command to stop."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from edge_sam.system.signals import stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request(number: signal.Signals) -> None:
    """In a process of its own: native libraries that other tests have loaded may handle signals themselves."""
    script = f"""
import signal
from edge_sam.system.signals import stop_on_signal
asked = []
with stop_on_signal(lambda: asked.append(True)) as stop:
    assert not stop()
    signal.raise_signal({int(number)})
    assert stop()
print(stop.signal, asked)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == f"{int(number)} [True]\n"


def test_the_earlier_handlers_return() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signal(lambda: None):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_second_signal_ends_the_process_without_cleaning_up() -> None:
    script = """
import signal
from edge_sam.system.signals import stop_on_signal
try:
    with stop_on_signal(lambda: print("stopping", flush=True)):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
finally:
    print("cleaned up", flush=True)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (128 + signal.SIGTERM, "stopping\n")
