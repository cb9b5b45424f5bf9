"""What the recorded requests are about. Nothing is imported but paths: clients live in environments of their own."""

from pathlib import Path

FOLDER = Path(__file__).parent
PHOTOGRAPH = FOLDER / "cup.jpg"
"""The cup of examples/photographs/coffee.png in 96×64, small enough for a body."""
CUP = (12, 3, 77, 62)
"""XYXY."""
ON_CUP = (48, 19)
OFF_CUP = (3, 3)
