"""Retrieval, correspondence and reliability, computed from scores."""
