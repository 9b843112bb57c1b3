"""The project's app for the command line: `-A reliable_tasks.contrib.django.app`."""

from __future__ import annotations

import django

from reliable_tasks.contrib.django.project import project_app

__all__ = ["app"]

django.setup()
app = project_app()
