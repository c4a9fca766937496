"""The leaderboard of certified L0 robustness."""
