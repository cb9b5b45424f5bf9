"""``python -m families NAME``: record the outputs of a family's reference implementation.

Run it in `tests/`. It needs the reference: the packages of `docs/lab/families.md`, installed without dependencies.
"""

from __future__ import annotations

import sys

from families.references import REFERENCES

if __name__ == "__main__":
    for name in sys.argv[1:] or REFERENCES:
        REFERENCES[name](name)
