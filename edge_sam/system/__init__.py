"""The machine and its processes: hardware facts, child processes, and times."""
