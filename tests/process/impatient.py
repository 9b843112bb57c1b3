"""The program, with a supervisor that is soon out of patience with a child that stands still."""

import os

from reliable_tasks.worker import process
from tests.process.tasks import make_app

process._LEAST_PATIENCE_S = 1.0
app = make_app(os.environ["STORE_URL"])
