"""Bodies: the functions that tasks are made of, and what is around a call of one."""
