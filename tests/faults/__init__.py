"""The worst case with real processes: killed, starved and disconnected in the middle."""
