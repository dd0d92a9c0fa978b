"""Commands that make everything the paper shows."""
