"""The verbs of the command line, one file for those that share a subject. Part of `cli`, on top of all rooms."""
