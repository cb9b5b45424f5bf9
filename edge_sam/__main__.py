"""`python -m edge_sam`: the command line."""

from edge_sam.cli import main

if __name__ == "__main__":
    main()
