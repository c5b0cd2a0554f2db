"""What the commands do: one file a command, named as the command."""
