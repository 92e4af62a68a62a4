"""The hand-off pack: originals under their final names, what is known of each, a contact sheet and checksums."""
