"""How each kind of finding is drawn into it."""
