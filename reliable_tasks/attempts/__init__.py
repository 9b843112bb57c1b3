"""An attempt: what comes before its body, and what comes of it."""
