"""Findings in a data set: label errors, duplicates, outliers and others."""
