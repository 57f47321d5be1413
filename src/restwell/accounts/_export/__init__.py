"""Personal data export (GDPR article 20)."""
