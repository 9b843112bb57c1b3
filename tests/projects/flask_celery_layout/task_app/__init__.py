"""The example of Flask's page on Celery, with the imports changed."""

import os

from flask import Flask

from reliable_tasks import App as Celery
from reliable_tasks import Task


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        CELERY={
            "broker_url": os.environ["TASK_APP_STORE"],
            "result_backend": os.environ["TASK_APP_STORE"],
            "task_ignore_result": True,
        },
        GREETING="hello",
    )
    app.config.from_prefixed_env()
    celery_init_app(app)

    from . import views

    app.register_blueprint(views.bp)
    return app


def celery_init_app(app: Flask) -> Celery:
    class FlaskTask(Task):
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app
