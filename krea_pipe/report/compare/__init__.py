"""What a change of files means for the images of a pipeline: two states of a repository, side by side."""
