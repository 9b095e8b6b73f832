"""The half that says and shows what the run records hold: evidence, figures, and the documents. Trains nothing."""
