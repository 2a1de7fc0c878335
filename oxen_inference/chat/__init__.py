"""Chat completions: request in, one normalised answer out, the same for both adapters."""
