"""Machine clients: programs that come by themselves, each allowed a few things."""
