"""Charts, pictures and diagrams, each with its caption."""
