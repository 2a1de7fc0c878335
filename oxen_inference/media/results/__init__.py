"""Files of finished generations: downloaded from where it is safe, checked, and kept."""
