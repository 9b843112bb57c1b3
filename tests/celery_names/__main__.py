"""Write the page anew."""

from pathlib import Path

from tests.celery_names.page import PAGE, rendered

Path(__file__).parents[2].joinpath(PAGE).write_text(rendered(), encoding="utf-8")
