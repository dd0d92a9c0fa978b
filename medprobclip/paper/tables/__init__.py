"""Which runs there are, and what is computed from them."""
