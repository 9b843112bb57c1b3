"""Beat: fires tasks at the slots of their schedules, each slot once, with any number of beats.

The schedules that programs write (`crontab`, `schedule`, `solar`) are to be imported from
`reliable_tasks.schedules`. This package re-exports nothing, so that a program which only declares
schedules loads no scheduler, and so that `beat.crontab` and `beat.solar` stay modules.
"""
