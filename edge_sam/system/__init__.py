"""The machine and its processes: what it is, how a Python process starts and ends, how long a stage takes."""
