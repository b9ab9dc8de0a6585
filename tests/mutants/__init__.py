"""`python -m tests.mutants`: faults put into methods and fusions one at a time; tests find them."""
