try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task


@task()
def noop(*args, **kwargs):
    return None


@task
async def anoop(*args, **kwargs):
    return None


@task(priority=100, queue_name="mail")
def send_mail(to, subject="hello"):
    return f"{subject} to {to}"


@task
def meaning_of_life():
    return 42


@task
def fails():
    raise ValueError("This Task failed due to ValueError")


@task
def complex_return_value():
    return lambda: True


@task(takes_context=True)
def which(context, *, more=0):
    result = context.task_result
    return [result.id, context.attempt, result.status, more]


@task(takes_context=True, max_attempts=3, backoff=0.001)
def third_time(context):
    if context.attempt < 3:
        raise ConnectionError("not yet")
    return context.task_result.worker_ids


@task(once={"keys": ["user_id"], "graceful": True})
def rebuild(user_id, reason=""):
    return reason


@task(once={})
def alone(n):
    return n
