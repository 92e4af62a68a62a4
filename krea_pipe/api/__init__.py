"""Sends requests to Krea and reads its answers."""
