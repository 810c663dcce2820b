"""The SQLite file: connection, migrations, identity, diagnosis."""
