"""The steps behind the commands, each from what the step before it left in the run's directory."""
