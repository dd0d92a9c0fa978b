"""The chest that every simulated patient starts from."""
