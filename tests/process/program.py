"""The app that the workers under test run."""

import os

from tests.process.tasks import make_app

app = make_app(os.environ["STORE_URL"])
