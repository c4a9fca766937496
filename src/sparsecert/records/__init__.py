"""What is written about a measurement."""
