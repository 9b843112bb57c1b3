"""What records, calls and scripts look like on the wire."""
