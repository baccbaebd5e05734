"""The steps behind the commands; each continues from the files that the previous one wrote."""
