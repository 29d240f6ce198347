"""Label errors, duplicates, outliers and other findings in a data set."""
