"""Maintains the home folder: its contents, what can be deleted, whether it is intact, and the connection to Krea."""
