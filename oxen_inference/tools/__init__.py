"""What tools that spend money have in common, whichever framework an agent is built with."""
