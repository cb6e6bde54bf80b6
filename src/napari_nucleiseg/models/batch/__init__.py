"""A whole folder of images: labels, tables, a contact sheet and a report."""
