"""What clients may ask, a module a subject. See `dispatch.py` for how a function here becomes a command."""
