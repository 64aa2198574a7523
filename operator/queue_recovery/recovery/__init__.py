"""What a recovery is: its decisions, its steps, and the ports through which it acts."""
