"""The Score widget."""
