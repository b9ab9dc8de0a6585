"""What reproduces the papers, apart from what ships: sizes, costs, the comparison of methods."""
