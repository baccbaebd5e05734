"""What may run: nothing that somebody else's file names, unless the user says so."""
