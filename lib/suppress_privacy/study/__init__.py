"""The study itself: its settings, runs, records, tables and figures."""
