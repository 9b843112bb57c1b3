"""The settings: their names, kinds, sources and page."""
