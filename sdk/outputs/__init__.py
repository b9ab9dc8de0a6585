"""Results drawn, shown, and in the forms of other tools."""
