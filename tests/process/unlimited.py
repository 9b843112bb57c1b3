"""The program without tasks that have limits, for pools that cannot enforce them."""

import os

from tests.process.tasks import make_app

app = make_app(os.environ["STORE_URL"], limits=False)
