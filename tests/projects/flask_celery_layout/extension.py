"""The same application by the extension: `flask --app extension reliable-tasks worker`."""

import os

from flask import Flask

from reliable_tasks.contrib.flask import ReliableTasks

tasks = ReliableTasks()


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["RELIABLE_TASKS"] = {"broker_url": os.environ["TASK_APP_STORE"]}
    app.config["GREETING"] = "good day,"
    tasks.init_app(app)

    from task_app import views

    app.register_blueprint(views.bp)
    return app
