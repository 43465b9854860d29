"""What a run leaves to look at: the closing table, the paper's tables, every plot."""
