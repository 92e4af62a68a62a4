"""The shared store: takes requests, gives what other homes know of them; objects in a bucket, or files in a folder."""
