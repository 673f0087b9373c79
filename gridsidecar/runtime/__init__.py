"""What each process of ours has, whatever it works on: its event loop, signals, memory, health, and how it ends."""
