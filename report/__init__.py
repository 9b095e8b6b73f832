"""The half that says and shows what the run records hold; it trains nothing."""
