"""Try one runtime and print what came of it: what `edge_sam.doctor.trial.try_isolated` starts."""

from __future__ import annotations

import sys

import msgspec

from edge_sam.doctor.trial import try_runtime

print(msgspec.json.encode(try_runtime(sys.argv[1])).decode())
