"""Sales reports: read page by page by a job, to download as CSV and as PDF."""
