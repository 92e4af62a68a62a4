"""Takes a YAML file; gives a `Pipeline`, or every problem with its place."""
