"""Configuration -> a run folder."""
