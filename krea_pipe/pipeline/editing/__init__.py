"""Edits of pipeline and picks files that leave everything else unchanged."""
