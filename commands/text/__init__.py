"""What people read: catalogs and cards."""
