"""From outcomes to what people look at."""
