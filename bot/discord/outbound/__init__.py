"""What Rushes posts on Discord."""
