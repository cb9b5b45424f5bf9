"""``python -m fuzz TARGET``: feed a target with mutations of its corpus, and keep the input that it fails on."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, help="let atheris search for so long, guided by coverage")
    parser.add_argument("--runs", type=int, default=1000, help="without --seconds: mutations, the same at every call")
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"), help="folder for what is found")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = chosen.found / chosen.target
        corpus.mkdir(parents=True, exist_ok=True)
        worker = ["fuzz.worker", folder, chosen.target, str(chosen.runs)]
        if chosen.seconds:
            worker = ["fuzz.guided", folder, chosen.target, str(corpus), str(chosen.seconds)]
        status = subprocess.run([sys.executable, "-m", *worker], check=False).returncode
        if status:
            data = Path(folder, "input").read_bytes()
            kept = chosen.found / f"{chosen.target}-{hashlib.sha256(data).hexdigest()[:12]}"
            kept.write_bytes(data)
            print(f"{chosen.target} failed on {kept} (status {status})", file=sys.stderr)
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
