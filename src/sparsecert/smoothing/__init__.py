"""Running the network: from inputs to counted ballots."""
