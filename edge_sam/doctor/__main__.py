"""Check one runtime and print the result; `edge_sam.doctor.check.check_isolated` starts this."""

from __future__ import annotations

import sys

import msgspec

from edge_sam.doctor.check import check_runtime

print(msgspec.json.encode(check_runtime(sys.argv[1])).decode())
