"""Runs an adapter: `python -m benchmarks.serve benchmarks.peers.huey`."""

import importlib
import sys

from benchmarks.adapter import serve

if __name__ == "__main__":
    serve(importlib.import_module(sys.argv[1]).Peer())
