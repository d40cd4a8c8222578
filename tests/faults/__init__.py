"""The worst that may happen, with real processes: killed, starved and cut off in the middle."""
