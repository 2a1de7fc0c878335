"""Chat completions: request in, one normalized answer out, the same for both adapters."""
