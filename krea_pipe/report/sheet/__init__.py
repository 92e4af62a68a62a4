"""The printed contact sheet: a report's cells on pages that are laid out before any picture is opened."""
