"""Claims of the course."""
