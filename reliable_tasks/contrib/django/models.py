"""What the admin's permissions are about. None of these has a table: all of it is in the store."""

from __future__ import annotations

from django.db import models

__all__ = ["DeadLetter", "Message", "Schedule"]


class _Stored:
    """Said of each of them."""

    managed = False
    default_permissions = ("view", "change")


class Message(models.Model):
    """A call, in any state."""

    id = models.CharField(primary_key=True, max_length=255)

    class Meta(_Stored):
        """Without a table."""

    def __str__(self) -> str:
        return str(self.id)


class DeadLetter(models.Model):
    """A message that has failed, with its arguments."""

    id = models.CharField(primary_key=True, max_length=255)

    class Meta(_Stored):
        """Without a table."""

    def __str__(self) -> str:
        return str(self.id)


class Schedule(models.Model):
    """An entry of the schedule."""

    id = models.CharField(primary_key=True, max_length=255)

    class Meta(_Stored):
        """Without a table."""

    def __str__(self) -> str:
        return str(self.id)
