"""The commands of `casting`, one noun a file. Heavy imports wait until a command runs, so that help is quick."""
