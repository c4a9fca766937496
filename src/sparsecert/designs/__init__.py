"""Which units each ballot retains."""
