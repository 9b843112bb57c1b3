"""Celery's commands that are not here, and what does their work."""

__all__ = ["ELSEWHERE"]

ELSEWHERE = {
    "amqp": "there is no AMQP: `status` shows the queues, `call` enqueues, `purge` empties a queue",
    "control": "workers are not controlled from here yet: `revoke ID --terminate` stops what runs, "
    "`purge` empties a queue, `schedules pause` stops an entry, and TERM, QUIT and HUP do to a "
    "worker what they do to Celery's",
    "events": "there is no stream of events: `audit` lists what happened (--since 1h, --json), "
    "and `worker -l info` logs it as it happens",
    "inspect": "workers are not asked from here yet: `status` shows them and what waits and runs "
    "(`status -d NAME` exits with 1 if that one is not alive, for health checks), `audit ID` tells "
    "of one message, and in Python there is app.control.inspect()",
    "list": "there are no bindings, a queue is a name: `status` shows the queues, `dead list`, "
    "`schedules list` and `locks list` what else there is",
    "logtool": "`audit` tells what happened; the log itself is one JSON object a line "
    "unless it goes to a terminal, for jq and its like",
    "migrate": "no messages are moved from a broker, let the old workers finish what is queued "
    "there; python -m reliable_tasks.migrate rewrites the imports of a program",
    "multi": "`worker` starts one, with as many processes as -c says; let systemd, supervisord or "
    "containers start several, each with its own -n, see docs/how-to/deploy-worker.md",
    "upgrade": "Celery's old and new names of settings are both understood; `report` shows what "
    "was made of them",
}
"""What to say to whoever asks for one of them."""
