"""What people do on Discord, turned into calls."""
