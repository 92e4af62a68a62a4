"""The export pack: original images under their final names, their metadata, a contact sheet and checksums."""
