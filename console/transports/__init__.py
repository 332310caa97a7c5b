"""The ways in. Each turns bytes of its own kind into calls of a `Session`, and knows nothing of Python statements."""
