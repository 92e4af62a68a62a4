"""Options become one call of the flow, and an exit code."""
