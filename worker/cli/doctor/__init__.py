"""`campaigns doctor`: looks at everything a campaign needs, and says in one line each how it is."""
