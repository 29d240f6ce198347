"""The tables of a study: from the logs of clips to frames, people, intervals, events and exports."""
