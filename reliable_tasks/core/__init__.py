"""Values and rules without I/O: messages, outcomes, once-keys, retries, clocks and ids."""
