"""Words that all rooms share: errors, exit codes, request fields, settings, git, and what an image file is."""
