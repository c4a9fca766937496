"""How votes are obtained and read."""
