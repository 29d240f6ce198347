"""`mien view`: the results of a study beside its clips, and their corrections, in the browser."""
