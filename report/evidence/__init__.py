"""From run records to measures, verdicts, tables and sentences."""
