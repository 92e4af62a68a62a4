"""Looking after the home folder: what is in it, what can go, whether it is sound, and whether Krea can be reached."""
