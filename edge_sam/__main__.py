"""The command line: `edge-sam`, or `python -m edge_sam`."""

import sys


def main() -> None:
    """Run the command line. Boards may have the package without what only the command line needs."""
    try:
        from edge_sam.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"error: the command line needs {error.name}, which is not installed: pip install edge-sam")
    run()


if __name__ == "__main__":
    main()
