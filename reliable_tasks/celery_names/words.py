"""What is said of several names of Celery's."""

Table = dict[str, dict[str, str]]
"""`{section: {words: "name name"}}`."""

NO_AMQP = (
    "there are no connections of AMQP's: the store is `app.store`, `app.control.ping()` shows "
    "the workers, `reliable-tasks status` the queues"
)
NO_SYMBOLS = "there is one implementation; it is not exchanged by a name"
NO_EVENTS = (
    "there is no stream of events: `reliable-tasks audit` has the trail of "
    "messages, signals tell a process of its own"
)
NO_STAMPS = (
    "stamps travel to `self.request.stamps`, but no worker looks for messages by them: keep the "
    "ids of what you enqueue, and revoke by these"
)
NO_STEPS = (
    "a worker has no parts to exchange: connect to the signals worker_init, worker_ready, "
    "worker_process_init and worker_shutdown"
)
NO_BROADCAST = (
    "workers are not commanded one by one: `app.control.revoke`, `terminate`, `purge` and `ping` "
    "work through the store; a worker stops on TERM, see `reliable-tasks worker --help`"
)
NO_POOL_CONTROL = (
    "the size of a worker is set where it starts: `reliable-tasks worker -c N`; start more workers "
    "for more"
)
STARTS = "start one by `app.worker_main([...])`, the command `reliable-tasks worker`, or in tests "
TESTED = "by `background_worker(app)` or `run_until_idle(app)` of `reliable_tasks.testing`"
