"""From finished generations to files: downloaded from where it is safe, checked, and kept."""
