"""Records with the votes and labels that their numbers follow from, to be verified by others."""
