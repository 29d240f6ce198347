"""Pages with figures and tables about data, models and runs."""
