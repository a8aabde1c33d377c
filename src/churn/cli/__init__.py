"""The command line: commands and their help, the words after them, refusals in four parts."""
