"""Checks of images: measures of the bytes that Krea sent, and what they say about the limits of a pipeline."""
