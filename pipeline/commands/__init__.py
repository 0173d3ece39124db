"""The commands, a module for each kind; what is said of an option or a command is its help."""
