"""A sweep's calls spread over many workers: one hub that leases, paces and records, workers that send, and what they run on."""
