"""What we keep: image bytes, facts, the journal of jobs."""
