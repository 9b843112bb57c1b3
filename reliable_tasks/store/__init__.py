"""The stores: where messages, results, locks, schedules and audit live together."""
