"""What turns results into pages."""
