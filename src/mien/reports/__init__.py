"""Figures and tables about data and models: what a person should look at before believing a number."""
