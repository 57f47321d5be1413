"""Sign-in of users who are in another store. Roles and status follow it, at sign-in and at each refresh."""
