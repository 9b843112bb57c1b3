"""`python -m reliable_tasks.migrate PATH`: rewrite a program's imports of Celery and celery_once.

What cannot be rewritten is left as it is and named, with what is here instead. Comments and
formatting stay; a file is replaced whole or not at all.
"""

from reliable_tasks.migrate.rewrite import Left, Rewritten, rewrite

__all__ = ["Left", "Rewritten", "rewrite"]
