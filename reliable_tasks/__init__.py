"""A task queue that loses nothing."""
