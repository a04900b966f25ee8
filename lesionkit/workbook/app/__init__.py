"""`lesionkit app`: a page to try the models of a run."""
