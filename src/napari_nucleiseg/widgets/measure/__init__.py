"""The Measure widget: a table of nuclei, plots and gates."""
