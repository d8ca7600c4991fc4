"""What a webhook is sent, over real HTTP: the guard, the signature, the limits."""
