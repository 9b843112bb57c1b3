"""Tasks, and the ways to call them."""
