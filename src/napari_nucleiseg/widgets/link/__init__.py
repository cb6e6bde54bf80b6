"""The widget that links the nuclei of planes."""
