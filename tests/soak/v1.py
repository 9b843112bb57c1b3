"""Version 1 of the program of a soak."""

import os

from tests.soak.tasks import make_app

app = make_app(os.environ["STORE_URL"], version=1)
