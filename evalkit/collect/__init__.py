"""Many calls: the look before them, their pace, their order, what they may cost, and what to do where the endpoint is in trouble."""
