"""Django: tasks in its apps, connections around bodies, on-commit calls, checks, admin, `TASKS`.

Nothing needs to be switched on: an app that is made where `DJANGO_SETTINGS_MODULE` is set knows its
way. With `"reliable_tasks.contrib.django"` in `INSTALLED_APPS` there are the command
`manage.py reliable_tasks`, the system checks and the admin's pages as well.
"""
