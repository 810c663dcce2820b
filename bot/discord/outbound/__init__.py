"""Discord, outbound: messages, threads and files that Rushes posts."""
