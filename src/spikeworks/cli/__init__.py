"""The command line: thin, each command calls what Python offers."""
