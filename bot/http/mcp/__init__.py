"""MCP: the tools by which assistants make clips, over HTTP and over stdio."""
