"""Stores image bytes, facts, and the journal of jobs."""
