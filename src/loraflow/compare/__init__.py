"""What differs between arms that answered the same items, and how sure that is."""
