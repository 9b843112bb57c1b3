"""Helpers at the edge, for the world outside of the store: nothing else imports them."""
