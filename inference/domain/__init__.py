"""The vocabulary of jobs: pure data and rules that everybody imports."""
