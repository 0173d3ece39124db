"""What every page shares: addresses, session, templates, text."""
