"""The store: its names, databases, files and server."""
