"""The command line: `edge-sam`, or `python -m edge_sam`."""

import sys

from edge_sam.system.requirements import missing_line


def main() -> None:
    """Run the command line. Boards may have the package without what only the command line needs."""
    try:
        from edge_sam.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"error: {missing_line(error)}")
    run()


if __name__ == "__main__":
    main()
