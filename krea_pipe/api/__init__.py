"""What we say to Krea, and how its answers are read."""
