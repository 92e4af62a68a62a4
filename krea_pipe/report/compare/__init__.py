"""How a change of files affects the images of a pipeline: two states of a repository, side by side."""
