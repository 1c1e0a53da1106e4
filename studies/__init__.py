"""Search studies."""
