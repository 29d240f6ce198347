"""The options of clips and of studies. They import little: the command line needs them for photos too."""
