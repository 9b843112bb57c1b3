# Create your tasks here

from django.db import connection

from reliable_tasks import shared_task

from .models import Order


@shared_task
def add(x, y):
    return x + y


@shared_task
def count_orders():
    return Order.objects.count()


@shared_task
def rename_order(order_id, name):
    order = Order.objects.get(id=order_id)
    order.name = name
    order.save()


@shared_task
async def acount_orders():
    return await Order.objects.acount()


@shared_task
def backend_pid():
    """The process of the database that serves this body's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@shared_task
def fail():
    raise ValueError("no such order")
