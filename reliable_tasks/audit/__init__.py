"""What the trail tells."""
