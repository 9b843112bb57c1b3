"""The bridge: takes over the messages that other systems' brokers hold."""
