"""Takes a `Pipeline`; gives its cells with their requests, one after the other."""
