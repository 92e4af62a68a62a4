"""A run's report over HTTP, for browsers on this machine only."""
