"""The run folder, and training in it."""
