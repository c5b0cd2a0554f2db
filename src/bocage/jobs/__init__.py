"""Implementation of the commands: one file per command, with the name of the command."""
