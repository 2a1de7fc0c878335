"""Chat completions: how a request is sent and its answer read, the same for both adapters."""
