"""Commands of admins and the operator: /rushes-admin."""
