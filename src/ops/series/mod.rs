//! Numbers over time: histograms that merge, rings of several resolutions, and queries of both.
