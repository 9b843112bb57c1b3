"""What is pure: messages, outcomes, once-keys, retries, clocks and ids."""
