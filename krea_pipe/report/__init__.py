"""Turns outcomes into reports for people."""
