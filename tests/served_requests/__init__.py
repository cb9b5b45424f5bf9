"""Requests of the real clients of labelling tools, recorded, and the scripts that record them.

Each script runs a client's own code against a server of this package on the loopback, checks that the client
understands the answers, and writes what it sent to a JSON file of its name. The scripts run from `tests/` with the
client's package on the path, for example ``python -m served_requests.roboflow``. `test_serve_recorded.py` sends the
requests again, without the clients.
"""
