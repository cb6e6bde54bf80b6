"""The Batch widget: a whole folder, with tables, pictures and a report."""
