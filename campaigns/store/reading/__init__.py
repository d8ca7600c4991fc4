"""SQL of reading: what is asked and changes nothing."""
