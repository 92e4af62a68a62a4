"""Edits of pipeline and picks files that leave all else as it was."""
