"""Small programs that a newcomer runs and edits. Each opens with what to type."""
