"""Clients that click at once: errors, latency of a click against one alone, memory of the server.

    python benchmarks/serve_load.py MINUTES [--clients 8] [--upload-seconds 5] [--model mobile-sam] [--output load.json]

It starts `edge-sam serve` on a free port of the loopback, and needs the extra ``serve`` and httpx. With
``--upload-seconds`` one more client uploads a new photograph that often, so that clicks meet encodes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

PHOTOGRAPH = Path(__file__).parent.parent / "examples" / "photographs" / "coffee.png"
ALONE = 60
"""Clicks of one client before the others come."""
SAMPLE_SECONDS = 1.0


def main() -> int:
    """Run the load and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--upload-seconds", type=float)
    parser.add_argument("--model", default="mobile-sam")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as store, (Path(store) / "log").open("w") as log:
        command = [sys.executable, "-m", "edge_sam", "serve", given.model, "--port", "0", "--store", f"{store}/images"]
        # Room for less than the uploads of a run, so that images are evicted all the time.
        command += ["--cache-mb", "100", "--store-mb", "200"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server:
            try:
                found = re.fullmatch(r"listening on (\S+)\n", server.stdout.readline() if server.stdout else "")
                if found is None:
                    raise SystemExit("the server did not start")
                figures = measure(found[1], server.pid, given)
            finally:
                server.terminate()
            server.wait(30)
        figures["exit_code"] = server.returncode
    text = json.dumps(figures, indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n")
    return int(bool(figures["errors"]))


def measure(address: str, pid: int, given: argparse.Namespace) -> dict[str, Any]:
    """Click alone, then with all clients; return milliseconds, errors and memory."""
    clients, minutes = given.clients, given.minutes
    with httpx.Client(base_url=address, timeout=60) as client:
        id = client.post("/images", content=PHOTOGRAPH.read_bytes()).json()["id"]
        alone = [click(client, id, number)[0] for number in range(ALONE + 10)][10:]
    end = time.monotonic() + 60 * minutes
    taken: list[float] = []
    errors: list[str] = []
    memory: list[float] = []

    def run(first: int) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            for number in itertools.count(first, clients):
                if time.monotonic() > end:
                    return
                milliseconds, error = click(client, id, number)
                taken.append(milliseconds)
                if error:
                    errors.append(error)

    threads = [threading.Thread(target=run, args=(first,)) for first in range(clients)]
    if given.upload_seconds:
        threads.append(threading.Thread(target=upload_until, args=(address, end, given.upload_seconds, errors)))
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        memory.append(resident_mb(pid))
        time.sleep(SAMPLE_SECONDS)
    for thread in threads:
        thread.join()
    # The first part fills caches and pools.
    settled = memory[len(memory) // 5 :] or memory
    half = len(settled) // 2
    p95 = percentile(taken, 95)
    return {
        "clients": clients,
        "minutes": minutes,
        "upload_seconds": given.upload_seconds,
        "clicks": len(taken),
        "errors": len(errors),
        "first_errors": errors[:5],
        "alone_ms": {"p50": percentile(alone, 50), "p95": percentile(alone, 95)},
        "together_ms": {"p50": percentile(taken, 50), "p95": p95, "max": max(taken)},
        "p95_by_p50_alone": round(p95 / percentile(alone, 50), 2),
        "memory_mb": {
            "start": memory[0],
            "settled": settled[0],
            "end": settled[-1],
            "range": max(settled) - min(settled),
            "growth": statistics.median(settled[half:]) - statistics.median(settled[:half] or settled),
        },
    }


def click(client: httpx.Client, id: str, number: int) -> tuple[float, str | None]:
    """Ask for the mask of one point; return the milliseconds, and the error if there was one."""
    point = [80 + 37 * number % 400, 30 + 53 * number % 340]
    start = time.perf_counter()
    try:
        answer = client.post(f"/images/{id}/masks", json={"prompts": [{"points": [point]}], "multimask": False})
        error = None if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"
    except httpx.HTTPError as failure:
        error = repr(failure)
    return (time.perf_counter() - start) * 1000, error


def upload_until(address: str, end: float, pause: float, errors: list[str]) -> None:
    """Upload a new photograph every so many seconds."""
    pixels = cv2.imread(str(PHOTOGRAPH))
    assert pixels is not None
    with httpx.Client(base_url=address, timeout=60) as client:
        for number in itertools.count():
            if time.monotonic() > end:
                return
            shifted = np.roll(pixels, number + 1, axis=1)
            answer = client.post("/images", content=cv2.imencode(".png", shifted)[1].tobytes())
            if answer.status_code != 201:
                errors.append(f"upload: {answer.status_code} {answer.text[:200]}")
            time.sleep(max(0.0, min(pause, end - time.monotonic())))


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * 4096 / 1e6, 1)


def percentile(values: list[float], rank: float) -> float:
    """Return a percentile, rounded."""
    return round(float(np.percentile(values, rank)), 1)


if __name__ == "__main__":
    sys.exit(main())
