"""The HTTP server: `edge-sam serve`. Needs the extra ``serve``."""
