"""What was counted, in memory and on disk."""
