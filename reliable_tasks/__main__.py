"""`python -m reliable_tasks`."""

from reliable_tasks.cli import main

if __name__ == "__main__":
    main()
