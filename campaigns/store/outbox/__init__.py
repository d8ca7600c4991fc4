"""What is told to webhooks: the webhooks, the events, their deliveries."""
