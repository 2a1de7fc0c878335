"""The command `generate`: one request, or a manifest of thousands, from the terminal."""
