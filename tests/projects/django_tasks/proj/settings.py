import os
from importlib.util import find_spec

import django

SECRET_KEY = "only for tests"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
INSTALLED_APPS = ["shop", "reliable_tasks.contrib.django"]
if django.VERSION < (6, 0) and find_spec("django_tasks"):
    INSTALLED_APPS.append("django_tasks")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DB", ":memory:"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

RELIABLE_TASKS_BROKER_URL = os.environ.get("SHOP_STORE", "sqlite://")
TASKS = {
    "default": {
        "BACKEND": "reliable_tasks.contrib.django.backend.ReliableTasksBackend",
        "QUEUES": ["default", "mail"],
    },
    "at_commit": {
        "BACKEND": "reliable_tasks.contrib.django.backend.ReliableTasksBackend",
        "OPTIONS": {"enqueue_on_commit": True},
    },
}
