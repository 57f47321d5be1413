"""Orders: items with the price at the time of purchase, and their payment status."""
