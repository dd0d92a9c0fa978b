"""From raw collections and a simulator to batches."""
