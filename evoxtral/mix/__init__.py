"""Where training clips come from, what they consist of, and how often each is drawn."""
