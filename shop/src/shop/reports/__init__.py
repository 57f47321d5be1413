"""Sales reports as CSV and PDF, built by a job."""
