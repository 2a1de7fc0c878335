"""The command line: `python -m oxen_inference`."""
